"""Every parameter a user can set, declared once: the command line, forms, run folders and docs are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from .text import shortened

CONFIG_VERSION = 1
# Raise it when the same model and settings give other labels than before: those that were kept are then made anew.
PREDICTION_VERSION = 4
DEFAULT_PATCH_PX = 128
SMALLEST_WINDOW_PX = 64
SURFACE_TOLERANCE_PX = 2.0
# So many steps show whether a network can learn: the answer does not depend on the computer, but one that takes longer
# for them is busy. A trial takes over some settings, and settles the others by itself.
TRIAL_STEPS, TRIAL_SECONDS = 150, 300.0
TRIAL_KEEPS = (
    "device", "precision", "seed", "patch_size", "batch_size", "in_channels", "channels", "loss",
    "false_positive_weight",
)  # fmt: skip
# Images without masks that a training learns from; more would only make its start longer.
MOST_UNANNOTATED = 24
MAX_PATCH_PX = 1024  # a network at work takes about 0.25 GB for a tile of this size
# A training of fewer steps is over before it could be seen that nothing more is gained.
LONG_STEPS = 1000
_MOST = 2**31 - 1
# The thresholds that can be set in the docks.
THRESHOLD_RANGE = (0.05, 0.95)

LayerGroup = Literal["first", "spot", "encoder", "decoder", "last", "norm", "all"]
LossName = Literal["bce_dice", "dynamic", "dynamic_safe", "tversky", "focal_tversky"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
PrecisionName = Literal["auto", "fp32", "bf16"]
PresetName = Literal["default", "plateau", "fast", "seed recipe", "from scratch"]
ExportFormat = Literal["bioimageio", "onnx", "torchscript"]


# A table reads best with one parameter per line, however long.
# fmt: off


class _Config(BaseModel):
    """Frozen, and closed to unknown fields so that a misspelt one is found; JSON has no infinity, so neither has this."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _countable(cls, value: Any) -> Any:
        """Refuse whole numbers that neither NumPy nor torch can take."""
        if isinstance(value, int) and value > _MOST:
            raise ValueError(f"Input should be at most {_MOST}")
        return value

    @classmethod
    def given(cls, config: Self | None, settings: Mapping[str, Any], **defaults: Any) -> Self:
        """Return `config`, or `settings` by name over `defaults`; raises `TypeError` if both are given."""
        if config is not None and settings:
            raise TypeError(f"Give a config or settings by name ({', '.join(settings)}), not both.")
        return config or cls(**{**defaults, **settings})


class ModelConfig(_Config):
    """The shape of the network."""

    width: int = Field(16, ge=16, le=256, multiple_of=16, title="Width", description="Filters of the first level; 16 is light, 64 is PAULow's.")
    levels: int = Field(4, ge=2, le=6, title="Levels", description="Resolution levels; each further one halves the image and doubles the filters.")
    in_channels: int = Field(1, ge=1, le=64, title="Channels", description="Image channels that the network sees.")
    dropout: float = Field(0.2, ge=0, lt=1, title="Dropout", description="Share of feature maps dropped in each decoder level while training.")

    @property
    def side_multiple(self) -> int:
        """Side lengths of the network's input must be multiples of this many pixels."""
        return int(2 ** (self.levels - 1))


NormalizationName = Literal["percentile", "zscore", "none"]


class Normalization(_Config):
    """How intensities are brought to a common range, always from the whole image and never from a patch."""

    method: NormalizationName = Field(
        "percentile",
        title="Normalization",
        description="percentile: the two percentiles become 0 and 1; zscore: mean 0, std 1; none: divided by the largest value of the data type.",
    )
    low: float = Field(0.1, ge=0, lt=100, title="Low percentile", description="Percentile that becomes 0.")
    high: float = Field(99.9, gt=0, le=100, title="High percentile", description="Percentile that becomes 1; near 100 so that objects under 1 % of the area count.")
    per_channel: bool = Field(False, title="Per channel", description="Fit each channel alone instead of all channels together.")

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low percentile {self.low} is not below high percentile {self.high}")
        return self

    @property
    def in_words(self) -> str:
        """What is done to the intensities."""
        each = ", each channel alone" if self.per_channel else ""
        if self.method == "percentile":
            return f"percentiles {self.low:g} and {self.high:g} of an image become 0 and 1{each}"
        if self.method == "zscore":
            return f"each image gets mean 0 and standard deviation 1{each}"
        return "intensities are divided by the largest value of the data type"


class ChannelRule(_Config):
    """How an image whose channels differ from the model's is brought to the model's channels."""

    method: Literal["luminance", "mean", "all", "channel", "none"] = Field(
        "luminance",
        title="Channels",
        description="luminance: gray value of a red-green-blue image; mean: mean of all channels; all: a training gives the model all of them, "
        "a gray model sees their mean; channel: one chosen channel; none: refuse images with other channels. "
        "A gray image is always repeated for a model with several channels.",
    )
    channel: int = Field(0, ge=0, title="Channel", description="Which channel to take, counted from 0, if the rule is 'channel'.")
    name: str | None = Field(None, title="Channel name", description="What that channel is called: of images whose file names its channels, the one of this name is taken.")

    @property
    def title(self) -> str:
        """The one channel that is taken, as tables and boxes call it; empty if there is no such one."""
        return "" if self.method != "channel" else self.name or f"channel {self.channel}"

    @property
    def in_words(self) -> str:
        """What is seen of an image with more channels than the model."""
        if self.method == "channel":
            return f"only {self.title}" if self.name else f"only {self.title}, counted from 0"
        mean = "the mean of all channels"
        words = {"luminance": "their gray value", "mean": mean, "all": mean, "none": "nothing: they are refused"}
        return words[self.method]


class AugmentConfig(_Config):
    """Random changes of the training patches; each `p_…` is the chance per patch."""

    orientation: Literal["auto", "any", "upright", "sideways"] = Field("auto", title="Orientation", description="any: patches may be turned freely; upright, sideways: objects lie in horizontal or vertical layers, so patches are only mirrored along them and tilted a little; auto: the masks decide.")
    flips: bool = Field(True, title="Flips and quarter turns", description="Mirror and turn by 90 degrees, as far as the orientation allows.")
    p_affine: float = Field(0.3, ge=0, le=1, title="Rotate and scale", description="Chance of a free rotation and a change of size.")
    rotation_deg: float = Field(180, ge=0, le=180, title="Rotation (degrees)", description="Largest rotation to either side; at most 15 for objects in layers.")
    scale_low: float = Field(0.7, gt=0.1, le=1, title="Smallest scale", description="Objects shrink to at least this factor.")
    scale_high: float = Field(1.4, ge=1, lt=10, title="Largest scale", description="Objects grow to at most this factor.")
    p_gamma: float = Field(0.3, ge=0, le=1, title="Gamma", description="Chance of a gamma curve of 0.7 to 1.5, half of them on the inverted image.")
    p_brightness: float = Field(0.15, ge=0, le=1, title="Brightness", description="Chance of multiplying by 0.75 to 1.25.")
    p_contrast: float = Field(0.15, ge=0, le=1, title="Contrast", description="Chance of stretching around the mean by 0.75 to 1.25.")
    p_noise: float = Field(0.15, ge=0, le=1, title="Noise", description="Chance of Gaussian noise with a std of up to 0.1.")
    p_blur: float = Field(0.15, ge=0, le=1, title="Blur", description="Chance of Gaussian blur with a sigma of 0.5 to 1.5 px.")
    p_low_resolution: float = Field(0.1, ge=0, le=1, title="Low resolution", description="Chance of sampling down by up to 2 and up again.")
    p_invert: float = Field(0.0, ge=0, le=1, title="Inversion", description="Chance of exchanging bright and dark.")
    p_objects: float = Field(0.3, ge=0, le=1, title="Objects apart", description="Chance that objects and what surrounds them each get another contrast (0.6 to 1.4) and brightness (up to 0.25 more or less); not where only some pixels are annotated.")

    @property
    def is_off(self) -> bool:
        """Tell whether patches stay as they are."""
        return not self.flips and not any(value for name, value in self if name.startswith("p_"))

    @classmethod
    def none(cls) -> Self:
        """Return the setting that leaves patches as they are."""
        return cls(flips=False, **{name: 0.0 for name in cls.model_fields if name.startswith("p_")})

    @property
    def halved(self) -> Self:
        """The same with half of each chance."""
        return self.model_copy(update={name: value / 2 for name, value in self if name.startswith("p_")})


AppearanceName = Literal["auto", "as they are", "inverted"]
FittedAppearance = Literal["auto", "as they are", "inverted", "curve"]


class FinetuneConfig(_Config):
    """All choices of one training, be it a finetuning or a base model from scratch."""

    version: int = Field(CONFIG_VERSION, title="Version", description="Version of this list of settings.")
    preset: PresetName = Field("default", title="Preset", description="The preset these settings started from.")

    layers: LayerGroup = Field("all", title="What to train", description="Layers that are trained; the others stay as they are.")
    first_phase_layers: LayerGroup | None = Field(None, title="Train first", description="Layers trained alone in a first phase; none skips that phase.")
    first_phase_share: float = Field(0.25, ge=0, le=1, title="Share of the first phase", description="Share of the steps spent in the first phase.")
    level_decay: float = Field(1.0, gt=0, le=1, title="Rate per level", description="Factor on the learning rate for each level away from the full-resolution input; 1 trains all levels alike.")
    optimizer: Literal["adamw", "adam"] = Field("adamw", title="Optimizer", description="AdamW or plain Adam.")
    learning_rate: float = Field(1e-3, gt=0, lt=1, title="Learning rate", description="Largest step size of the optimizer.")
    weight_decay: float = Field(1e-4, ge=0, lt=1, title="Weight decay", description="Pull of AdamW towards zero.")
    schedule: Literal["auto", "cosine", "step", "constant", "plateau"] = Field("auto", title="Schedule", description="cosine: falls smoothly to 1 %; step: a tenth after three quarters; constant; plateau: constant until old and new held-out images gain nothing more, then a fall to 1 % over half as many steps again, at most as many steps as are set; auto: plateau for a long finetuning with at most 12 images of which one or two are held out, else cosine.")
    warmup_steps: int = Field(30, ge=0, title="Warm-up (steps)", description="Steps over which the learning rate rises.")
    gradient_clip: float = Field(1.0, ge=0, title="Gradient clip", description="Largest norm of the gradient; 0 switches it off.")
    dropout: float | None = Field(None, ge=0, lt=1, title="Dropout", description="Share of feature maps dropped in each level of the decoder; empty takes the model's own.")
    weight_average: float = Field(0.98, ge=0, lt=1, title="Weight averaging", description="Decay per step of the moving average of the weights that is validated and kept; 0 switches it off.")

    steps: int = Field(2000, ge=1, le=1_000_000, title="Steps", description="Training steps, whatever the number of images.")
    epochs: int | None = Field(None, ge=1, title="Epochs", description="Passes over all patches of a grid instead of a number of steps.")
    batch_size: int = Field(4, ge=1, le=1024, title="Batch size", description="Patches per step.")
    patch_size: int | None = Field(None, ge=32, le=MAX_PATCH_PX, multiple_of=8, title="Patch size (px)", description="Side of a training patch; prediction uses tiles of the same size. Empty takes the base model's, and 128 for a new model.")
    patch_stride: int = Field(64, ge=8, title="Patch stride (px)", description="Distance of the patches of a grid, if epochs are set.")
    foreground_share: float = Field(0.5, ge=0, le=1, title="Patches on objects", description="Share of the random patches that are centered near an object.")

    loss: LossName = Field("bce_dice", title="Loss", description="What the training minimizes. On their own, tversky and focal_tversky learn little from patches without objects.")
    false_positive_weight: float = Field(0.5, ge=0.05, le=0.95, title="Penalty on false positives", description="Weight of false positives against missed pixels in the region loss; above 0.5 the model predicts less.")
    augment: AugmentConfig = Field(default_factory=AugmentConfig, title="Augmentation", description="Random changes of the training patches.")

    appearance: FittedAppearance = Field("auto", title="Dark and bright", description="Whether dark and bright of the new images are exchanged before the network sees them; auto tries both with the base model on the annotated images and, where both are about as good, goes by whether their objects are brighter or darker than their surroundings; curve does so, too, and fits a curve over their intensities, which is kept where the base model gains clearly by it.")
    in_channels: int | None = Field(None, ge=1, le=64, title="Channels of the model", description="Give the model this many input channels by repeating or summing its first filters; empty keeps them, but gives a gray model the channels of color images unless a channel rule is set.")
    channels: ChannelRule | None = Field(None, title="Channel rule", description="How images with other channels are brought to the model's; empty keeps the base model's rule.")
    rescale: float | None = Field(None, ge=0, le=8, title="Rescale", description="Images are resampled by this factor before the network sees them, and results brought back; 0 estimates it from the size of the objects, empty keeps the base model's.")
    normalization: Normalization | None = Field(None, title="Normalization", description="For a model trained from scratch; a finetuned model keeps the rule of its base.")

    replay_share: float = Field(0.2, ge=0, le=0.9, title="Replay", description="Share of each batch taken from old images, so that they are not forgotten.")
    l2sp: float | None = Field(None, ge=0, title="Pull to the base", description="Strength of the pull towards the base model's weights (L2-SP); empty switches it on only where there are no old images to replay.")
    rehearsal_patches: int = Field(256, ge=0, le=4096, title="Patches to keep", description="Training patches stored in the model for later replay; 0 stores none.")

    unannotated_share: float = Field(0.0, ge=0, le=4, title="Images without masks", description="Number of patches of images without masks for each other patch; what the network itself is sure of in them is learned from. 0 leaves these images out.")

    validation: Literal["images", "patches", "none"] = Field("images", title="Validation", description="What is held out: whole images, or random patches as in the study.")
    validation_share: float = Field(0.2, gt=0, lt=1, title="Held-out share", description="Share of the annotated images that is held out, at least one from four images on.")
    held_out: tuple[str, ...] | None = Field(None, title="Held-out images", description="Names of the images that only validate; empty lets the program choose a share of them.")
    validate_every: int = Field(50, ge=1, title="Validate every (steps)", description="Steps between two validations.")
    validation_crop_px: int = Field(512, ge=SMALLEST_WINDOW_PX, title="Validation window (px)", description="Largest side of the part of a held-out image that is scored while training; less where many are held out, so that validation takes about a tenth of the time.")
    patience: int = Field(0, ge=0, title="Patience", description="Stop after this many validations without a better one; 0 never stops early.")
    keep_raw: bool = Field(True, title="Never below the base", description="Return the base model if the finetuned one, told which images are new, is not better on held-out images or, with none, not clearly better on most images it was trained on.")
    tolerated_drop: float = Field(0.01, ge=0, le=1, title="Tolerated loss on old images", description="What old images lose of their Dice beyond this counts twice against what new ones gain, and weights are mixed with the base's; three quarters of the gain are kept in any case. 1 looks at the new images alone and mixes nothing.")
    threshold: float | None = Field(None, gt=0, lt=1, title="Threshold", description="Probability threshold, or where its calibration starts; empty takes the base model's.")
    calibrate: bool = Field(True, title="Calibrate threshold", description="Choose the probability threshold on the annotated images.")

    seed: int = Field(0, ge=0, lt=2**31, title="Seed", description="The same seed on a CPU gives the same result.")
    device: DeviceName = Field("auto", title="Device", description="auto takes CUDA, then MPS, then the CPU.")
    precision: PrecisionName = Field("auto", title="Precision", description="auto takes bf16 where the device multiplies it in hardware.")

    @property
    def patch_px(self) -> int:
        """Side of a patch, once it is settled."""
        return self.patch_size or DEFAULT_PATCH_PX

    @property
    def trained_px(self) -> int:
        """Pixels of all patches of a training of so many steps, to which its time is proportional."""
        return int(self.steps * self.batch_size * self.patch_px**2)

    @property
    def may_end_early(self) -> bool:
        """Whether these settings let a training end before its last step; with `schedule` auto only one with few images."""
        is_long = self.epochs is None and self.steps >= LONG_STEPS
        return self.schedule == "plateau" or (self.schedule == "auto" and is_long)

    @model_validator(mode="before")
    @classmethod
    def _begin_with_the_preset(cls, values: Any) -> Any:
        """Fill what is not given from the named preset, so that a preset's name never stands over other settings."""
        if not isinstance(values, dict):
            return values
        if isinstance(version := values.get("version"), int) and version > CONFIG_VERSION:
            raise ValueError("these settings were written by a newer version; update napari-unet-finetune")
        values = {**PRESETS.get(values.get("preset", "default"), {}), **values}
        augment = values.get("augment")
        if isinstance(augment, dict) and AugmentConfig.model_fields.keys() - augment == {"p_objects"}:
            values["augment"] = {**augment, "p_objects": 0.0}  # written down before there was such a change
        return values

    @model_validator(mode="after")
    def _grid_is_plain(self) -> Self:
        if self.epochs is not None and (self.replay_share or not self.augment.is_off):
            raise ValueError("epochs train the study's plain grid; switch replay_share and augmentation off, or give steps instead")
        if self.epochs is not None and self.unannotated_share:
            raise ValueError("epochs train the study's plain grid of annotated images; set unannotated_share to 0, or give steps instead")
        if self.validation == "patches" and self.epochs is None:
            raise ValueError("validation on patches belongs to the study's grid; give epochs, or validate on images")
        return self


PRESETS: dict[PresetName, dict[str, Any]] = {
    "default": {},
    "plateau": {"schedule": "plateau"},
    "fast": {"steps": 300},
    "seed recipe": {
        "optimizer": "adam",
        "learning_rate": 1e-5,
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup_steps": 0,
        "gradient_clip": 0.0,
        "weight_average": 0.0,
        "epochs": 100,
        "patch_size": 128,
        "batch_size": 4,
        "loss": "dynamic",
        "false_positive_weight": 0.7,
        "augment": AugmentConfig.none(),
        "replay_share": 0.0,
        "l2sp": 0.0,
        "rehearsal_patches": 0,
        "validation": "patches",
        "keep_raw": False,
        "tolerated_drop": 1.0,
        "calibrate": False,
        "normalization": Normalization(method="none"),
        "threshold": 0.6225,  # the study binarises at logit 0.5
        "precision": "fp32",
    },
    "from scratch": {
        "steps": 2400,
        "schedule": "cosine",
        "validate_every": 100,
        "augment": AugmentConfig(p_affine=0.5, p_gamma=0.5, p_brightness=0.3, p_contrast=0.3, p_noise=0.3, p_blur=0.3, p_low_resolution=0.2, p_objects=0.3),
        "replay_share": 0.0,
        "keep_raw": False,
    },
}


class PredictConfig(_Config):
    """All choices of a prediction."""

    threshold: float | None = Field(None, gt=0, lt=1, title="Threshold", description="Probability above which a pixel is an object; empty takes the model's own.")
    rescale: float | None = Field(None, gt=0, le=8, title="Rescale", description="Images are resampled by this factor before the network sees them; empty takes the model's own.")
    channels: ChannelRule | None = Field(None, title="Channel rule", description="How images with other channels are brought to the model's; empty takes the model's own.")
    appearance: AppearanceName = Field("auto", title="Dark and bright", description="Whether dark and bright are exchanged before the network sees an image; auto: as in those images it was trained on that this one is most like.")
    overlap: float = Field(0.5, ge=0, lt=0.9, title="Overlap", description="Share of a tile that overlaps with the next one.")
    batch_size: int = Field(8, ge=1, le=1024, title="Batch size", description="Tiles per pass.")
    augment: bool = Field(True, title="Test-time augmentation", description="Every second tile is shown mirrored, if the model was trained on mirrored patches: the tiles over a pixel are then four views of it, in the time of one.")
    min_size_px: int = Field(0, ge=0, title="Smallest object (px)", description="Objects with fewer pixels are removed.")
    fill_holes: bool = Field(False, title="Fill holes", description="Close holes inside objects.")
    instances: bool = Field(False, title="Split touching objects", description="Number the objects and split those that touch.")
    device: DeviceName = Field("auto", title="Device", description="auto takes CUDA, then MPS, then the CPU.")
    precision: PrecisionName = Field("auto", title="Precision", description="auto takes bf16 where the device multiplies it in hardware.")

    @field_validator("overlap", mode="before")
    @classmethod
    def _usual(cls, overlap: float | None) -> float:
        """Read the empty overlap of earlier versions, which left the choice to the program."""
        return 0.5 if overlap is None else overlap


class ExportConfig(_Config):
    """All choices of an export to other programs."""

    format: ExportFormat | None = Field(None, title="Format", description="bioimageio: a package that Fiji, QuPath, ilastik and the BioImage Model Zoo read; onnx, torchscript: the network alone; empty: as the name of the file ends.")
    mask: bool = Field(False, title="Masks instead of probabilities", description="Objects become 1 and background 0 at the model's threshold; otherwise the result are probabilities.")
    torchscript: bool = Field(False, title="Also as TorchScript, for QuPath", description="A package holds the network as TorchScript too, which is deprecated and still what QuPath reads.")
    patches: bool = Field(True, title="Keep patches for later finetunings", description="The model in a package keeps the patches of its training images that later trainings replay.")
    dataset: int | None = Field(None, ge=1, title="Dataset", description="Of a model that was trained on several datasets: whose images are shown to it as its own, counted from 1, the oldest; empty takes the newest.")
    name: str = Field("", title="Name", description="What the model is called; empty takes the name of its file.")
    authors: str = Field("", title="Authors", description="Names of those who made the model, separated by commas.")
    license: str = Field("", title="License", description="SPDX identifier, such as CC-BY-4.0; empty takes what the model's file says.")

    @field_validator("authors")
    @classmethod
    def _are_names(cls, authors: str) -> str:
        if "/" in authors:
            raise ValueError("write names without '/', separated by commas")
        return authors

    @property
    def author_names(self) -> tuple[str, ...]:
        """The names of the authors, one by one."""
        return tuple(filter(None, (name.strip() for name in self.authors.split(","))))

# fmt: on


def fields_of(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """Return the declarations of all settings by their names, in a group behind the name of the group and a dot."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        found[prefix + name] = field
        if (group := group_of(field)) is not None:
            found |= fields_of(group, f"{prefix}{name}.")
    return found


def group_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the group of settings that `field` holds, be it empty by default."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def explain(error: ValidationError, titles: Mapping[str, str] | None = None) -> str:
    """Return the first thing that is wrong with some settings, as a sentence with their names, or with `titles`."""
    first = error.errors()[0]
    name, reason = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    subject = (titles or {}).get(name, f"Setting '{name}'")
    if reason.startswith("Input should be "):
        found = shortened(repr(first["input"]), 80)
        return f"{subject} should be {reason.removeprefix('Input should be ')}, but it is {found}."
    for known, title in (titles or {}).items():
        if "_" in known:
            reason = reason.replace(known, f"'{title}'")
    return f"{subject}: {reason}." if name else f"{reason[:1].upper()}{reason[1:]}."
