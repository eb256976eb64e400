"""A methods paragraph for a paper, with its references, made from what a run really did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..config import AugmentConfig, FinetuneConfig
from ..evaluation.areas import CONFIDENCE
from ..inference.views import trained_views, usual_overlap
from ..metrics import SURFACE_TOLERANCE_PX
from ..models.provenance import DISTRIBUTION
from ..outcome import ENOUGH_HELD_OUT
from ..runs.folder import BEST, RESULT
from ..text import count_of, device_name, percent, precision_name
from .run_record import RunRecord

REFERENCES = {
    "attention": "Oktay O. et al. Attention U-Net: learning where to look for the pancreas. Medical Imaging with Deep "
    "Learning (MIDL), 2018. arXiv:1804.03999.",
    "paulow": "PAULow: Patch-based Attention U-Net for Low-resource learning. Medical Imaging with Deep Learning "
    "(MIDL), short paper, 2025. https://github.com/NTUMMIO/PAULow.",
    "weights": "Qiao S. et al. Micro-batch training with batch-channel normalization and weight standardization. "
    "2019. arXiv:1903.10520.",
    "groups": "Wu Y., He K. Group normalization. European Conference on Computer Vision (ECCV), 2018.",
    "torch": "Paszke A. et al. PyTorch: an imperative style, high-performance deep learning library. Advances in "
    "Neural Information Processing Systems 32, 2019.",
    "dice": "Milletari F., Navab N., Ahmadi S.-A. V-Net: fully convolutional neural networks for volumetric medical "
    "image segmentation. 3D Vision (3DV), 2016.",
    "tversky": "Salehi S. S. M., Erdogmus D., Gholipour A. Tversky loss function for image segmentation using 3D "
    "fully convolutional deep networks. Machine Learning in Medical Imaging (MLMI), 2017.",
    "focal": "Abraham N., Khan N. M. A novel focal Tversky loss function with improved attention U-Net for lesion "
    "segmentation. IEEE International Symposium on Biomedical Imaging (ISBI), 2019.",
    "adam": "Kingma D. P., Ba J. Adam: a method for stochastic optimization. International Conference on Learning "
    "Representations (ICLR), 2015.",
    "adamw": "Loshchilov I., Hutter F. Decoupled weight decay regularization. International Conference on Learning "
    "Representations (ICLR), 2019.",
    "cosine": "Loshchilov I., Hutter F. SGDR: stochastic gradient descent with warm restarts. International "
    "Conference on Learning Representations (ICLR), 2017.",
    "l2sp": "Li X., Grandvalet Y., Davoine F. Explicit inductive bias for transfer learning with convolutional "
    "networks. International Conference on Machine Learning (ICML), 2018.",
    "lwf": "Li Z., Hoiem D. Learning without forgetting. IEEE Transactions on Pattern Analysis and Machine "
    "Intelligence 40, 2935–2947, 2018.",
    "augment": "Isensee F. et al. nnU-Net: a self-configuring method for deep learning-based biomedical image "
    "segmentation. Nature Methods 18, 203–211, 2021.",
    "surface": "Nikolov S. et al. Clinically applicable segmentation of head and neck anatomy for radiotherapy: deep "
    "learning algorithm development and validation study. J. Med. Internet Res. 23, e26151, 2021.",
    "bootstrap": "Efron B., Tibshirani R. J. An introduction to the bootstrap. Chapman & Hall, 1993.",
}


@dataclass
class References:
    """Numbers references in the order in which they are cited."""

    cited: list[str] = field(default_factory=list)

    def cite(self, *keys: str) -> str:
        """Return the numbers of some references, such as ``[1, 3]``."""
        self.cited += [key for key in keys if key not in self.cited]
        return f"[{', '.join(str(self.cited.index(key) + 1) for key in keys)}]"

    @property
    def items(self) -> tuple[str, ...]:
        """The references that were cited, in order."""
        return tuple(REFERENCES[key] for key in self.cited)


_LAYERS = {
    "first": "the first level of the encoder",
    "spot": "the first convolutions of each encoder level and the attention gate at full resolution",
    "encoder": "the encoder",
    "decoder": "the decoder",
    "last": "the last level of the decoder and the output layer",
    "norm": "the normalization parameters and biases",
    "all": "all layers",
}
_CHANGES = (
    ("p_affine", "rotation and scaling"),
    ("p_gamma", "gamma"),
    ("p_brightness", "brightness"),
    ("p_contrast", "contrast"),
    ("p_noise", "Gaussian noise"),
    ("p_blur", "blur"),
    ("p_low_resolution", "low resolution"),
    ("p_invert", "inversion"),
)


def methods(record: RunRecord, references: References, *, scored: bool, interval: bool = True) -> str:
    """Return what was done as one paragraph in the past tense.

    `scored` says that whole images were scored for this report, `interval` that the area ratio has one.
    """
    parts = [
        *_network(record, references),
        *_images(record),
        *_inputs(record),
        *_patches(record, references),
        *_optimisation(record, references),
        *_selection(record),
        *(_scoring(references, interval=interval) if scored else ()),
        _reproduction(record),
    ]
    return " ".join(parts).replace(" %", "\u00a0%")


def a_device(device: str) -> str:
    """Return the name of a device with its article: ``a CPU``, ``an Apple GPU``."""
    name = device_name(device)
    return f"{'an' if name[0] in 'AEIO' else 'a'} {name}"


def _reproduction(record: RunRecord) -> str:
    device, precision = a_device(record.started.device), precision_name(record.started.precision)
    return f"The random seed was {record.config.seed}; the training ran on {device} in {precision}."


def _network(record: RunRecord, references: References) -> Iterator[str]:
    shape, versions = record.model.card.shape, record.model.card.provenance.versions
    filters = ", ".join(str(shape.width * 2**level) for level in range(shape.levels))
    torch = f" {versions['torch']}" if "torch" in versions else ""
    yield (
        f"Objects were segmented with a patch-based Attention U-Net {references.cite('attention', 'paulow')} of "
        f"{shape.levels} levels ({filters} filters; {parameters(record):,} parameters) with weight-standardised "
        f"convolutions {references.cite('weights')} and group normalization {references.cite('groups')}, as "
        f"implemented in {DISTRIBUTION} {record.model.card.provenance.package_version} with PyTorch{torch} "
        f"{references.cite('torch')}."
    )


def parameters(record: RunRecord) -> int:
    """Return the number of parameters of the network."""
    return sum(weights.numel() for weights in record.model.weights.values())


def _images(record: RunRecord) -> Iterator[str]:
    trained, held_out = len(record.started.train_images), len(record.started.validation_images)
    start = (
        "It was trained from random weights"
        if record.from_scratch
        else f"A base model ({base_name(record)}) was finetuned"
    )
    rest = f"; {count_of(held_out, 'image')} of the same dataset {'was' if held_out == 1 else 'were'} held out"
    yield f"{start} on {count_of(trained, 'annotated image')}{rest if held_out else ''}."
    if record.request.holds_strokes:
        yield "Annotations were brush strokes; only annotated pixels entered loss and scores."


def base_name(record: RunRecord) -> str:
    """Return what the base model is called, from its file or its record."""
    parts = (record.request.checkpoint or "unnamed").replace("\\", "/").split("/")
    return "/".join(parts[-2:] if parts[-1] in (RESULT, BEST) else parts[-1:])


def _inputs(record: RunRecord) -> Iterator[str]:
    rule, channels = record.model.card.normalization, record.model.card.channels
    before, now = record.base and record.base.card.shape.in_channels, record.model.card.shape.in_channels
    if before is not None and before != now:
        yield f"The first layer of the base model was adapted from {before} to {now} channels."
    if record.model.card.rescale != 1:
        yield f"Images were rescaled by {record.model.card.rescale:.3g}, to the size of the base model's objects."
    many = any(image.channels and image.channels > 1 for image in record.images)
    if many and record.model.card.shape.in_channels == 1:
        yield f"Of images with several channels the network sees {channels.in_words}."
    yield f"Intensities were normalized: {rule.in_words}."


def _patches(record: RunRecord, references: References) -> Iterator[str]:
    config, size = record.config, record.config.patch_size or record.model.card.patch_size
    if config.epochs is not None:
        yield (
            f"Training took {record.steps:,} steps ({config.epochs} epochs) on batches of {config.batch_size} patches "
            f"of {size} × {size} px from a grid with a stride of {config.patch_stride} px, without augmentation."
        )
        return
    yield (
        f"Training took {record.steps:,} steps on batches of {config.batch_size} patches of {size} × {size} px, drawn "
        f"at random and {percent(config.foreground_share)} of them near an object."
    )
    if replayed(record):
        source = _old_source(record, references)
        yield f"Against forgetting, {percent(config.replay_share)} of the patches were of the old dataset ({source})."
    yield _augmentation(config.augment, references)


def _old_source(record: RunRecord, references: References) -> str:
    stored = "stored in the base model's file"
    if record.request.base_images is None:
        return stored
    if record.request.base_masks is not None:
        return "from its images"
    taught = f"from its images, with the base model's predictions as masks (self-distillation {references.cite('lwf')})"
    return f"{stored}, and {taught}" if record.model.rehearsal is not None else taught


def replayed(record: RunRecord) -> bool:
    """Tell whether patches of the old dataset took part in the training."""
    has_old = record.request.base_images is not None or record.model.rehearsal is not None
    return not record.from_scratch and has_old and record.config.replay_share > 0 and record.config.epochs is None


def _augmentation(augment: AugmentConfig, references: References) -> str:
    if augment.is_off:
        return "Patches were not augmented."
    changes = [name for setting, name in _CHANGES if getattr(augment, setting) > 0]
    turns = "mirroring" if augment.orientation in ("upright", "sideways") else "mirroring and quarter turns"
    listed = [*([turns] if augment.flips else []), *changes]
    text = ", ".join(listed[:-1]) + (" and " if len(listed) > 1 else "") + listed[-1]
    layers = (
        " (no free rotation, since objects lie in layers)" if augment.orientation in ("upright", "sideways") else ""
    )
    return f"Patches were augmented at random by {text}{layers}, in the manner of nnU-Net {references.cite('augment')}."


def _optimisation(record: RunRecord, references: References) -> Iterator[str]:
    config = record.config
    loss = _loss(config, references)
    yield f"Training of {_trained_layers(config)} minimised {loss} with {_optimizer(config, references)}."
    dropout = record.model.card.shape.dropout if config.dropout is None else config.dropout
    if dropout:
        yield f"In each level of the decoder {percent(dropout)} of the feature maps were dropped at random."
    if config.l2sp and not record.from_scratch:
        cited = references.cite("l2sp")
        yield f"Weights were pulled towards those of the base model (L2-SP {cited}, strength {config.l2sp:g})."


def _optimizer(config: FinetuneConfig, references: References) -> str:
    with_decay = config.optimizer == "adamw"
    name = f"AdamW {references.cite('adamw')}" if with_decay else f"Adam {references.cite('adam')}"
    parts = [f"learning rate {config.learning_rate:g}"]
    if with_decay and config.weight_decay:
        parts.append(f"weight decay {config.weight_decay:g}")
    if config.schedule == "cosine":
        parts.append(f"cosine schedule {references.cite('cosine')}")
    if config.schedule == "step":
        parts.append("divided by ten after three quarters of the steps")
    if config.warmup_steps:
        parts.append(f"{config.warmup_steps} steps of warm-up")
    if config.gradient_clip:
        parts.append(f"gradients clipped at a norm of {config.gradient_clip:g}")
    return f"{name} ({', '.join(parts)})"


def _trained_layers(config: FinetuneConfig) -> str:
    text = _LAYERS[config.layers]
    if config.first_phase_layers is not None:
        first = _LAYERS[config.first_phase_layers]
        text = f"first {first} ({percent(config.first_phase_share)} of the steps), then {text},"
    if config.level_decay < 1:
        text += f" (learning rate times {config.level_decay:g} for each level away from the input)"
    return text


def _loss(config: FinetuneConfig, references: References) -> str:
    weight = config.false_positive_weight
    soft_dice = f"the soft Dice loss {references.cite('dice')}" if weight == 0.5 else ""
    region = soft_dice or f"the Tversky loss {references.cite('tversky')} (weight of false positives {weight:g})"
    if config.loss == "bce_dice":
        return f"the sum of binary cross-entropy and {region}"
    if config.loss == "tversky":
        return region
    focal = f"the focal Tversky loss {references.cite('focal')}"
    if config.loss == "focal_tversky":
        return f"{focal} (weight of false positives {weight:g})"
    kept = " and cross-entropy in every case" if config.loss == "dynamic_safe" else ""
    return (
        f"a loss chosen by the predicted share of objects {references.cite('paulow')}: binary cross-entropy, with "
        f"{region} from the first predicted object on, and {region} with {focal} from 1/16 on{kept},"
    )


def _selection(record: RunRecord) -> Iterator[str]:
    config = record.config
    if record.kept_raw:
        yield "Since this did not raise the Dice coefficient on held-out images, the base model was used unchanged."
        return
    yield _kept_weights(record)
    if config.calibrate and record.is_complete:
        threshold = f"{record.model.card.threshold:.2f}"
        yield f"The probability threshold ({threshold}) was calibrated on {_calibrated_on(record)}."
    else:
        yield f"The probability threshold was {record.model.card.threshold:.2f}."
    size = record.model.card.patch_size
    views = trained_views(config.augment)
    averaged = " and averaged over four mirrored views" if len(views) > 1 else ""
    yield (
        f"Images were predicted in tiles of {size} × {size} px overlapping by "
        f"{percent(usual_overlap(views))}, whose probabilities were blended{averaged}."
    )


def _kept_weights(record: RunRecord) -> str:
    config, best = record.config, record.best
    average = f", averaged exponentially (decay {config.weight_average:g})," if config.weight_average else ""
    if config.validation == "patches":
        share = percent(config.validation_share)
        return f"The weights{average} with the lowest loss on a random {share} of the patches were kept."
    if not record.started.validation_images:
        return f"No image was held out; the weights{average} of the last step were kept."
    step = f" (step {best.step:,})" if best else ""
    measured = record.ended is not None and record.ended.old_dice_before is not None
    last = ", or the last ones if these were worse by no more than chance," if measured else ""
    return (
        f"Weights{average} were validated every {config.validate_every} steps, and those with the highest mean Dice "
        f"coefficient on the held-out images{last} were kept{step}."
    )


def _calibrated_on(record: RunRecord) -> str:
    held_out = len(record.started.validation_images)
    if not held_out or record.config.validation == "patches":
        return "the training images"
    return "the held-out images" if held_out >= ENOUGH_HELD_OUT else "the held-out and the training images"


def _scoring(references: References, *, interval: bool) -> Iterator[str]:
    bootstrap = ""
    surface = references.cite("surface")
    if interval:
        bootstrap = f", with a {percent(CONFIDENCE)} bootstrap interval over images {references.cite('bootstrap')}"
    yield (
        f"Whole images were scored by the Dice coefficient, intersection over union (IoU), the surface Dice {surface} "
        f"at a tolerance of {SURFACE_TOLERANCE_PX:g} px, and the ratio of predicted to true area{bootstrap}."
    )
