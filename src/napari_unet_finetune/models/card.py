"""The card of a model: what it says of itself, read from the header of its file, so that torch is not needed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..checked_json import first_fault
from ..config import MAX_PATCH_PX, ChannelRule, ModelConfig, Normalization
from ..data.appearance import AS_THEY_ARE, Appearance
from ..data.channels import ALL, usual_channels
from ..data.statistics import ModelFacts, ModelView
from ..errors import ModelError
from ..io.regions.region import counted
from ..text import first_of, number, shortened
from .header import FIRST_FORMAT_VERSION, FORMAT_VERSION, is_safetensors, read_description
from .names import name_of_file
from .packages import is_foreign
from .provenance import Provenance, installed_version
from .zoo import find_model, list_models, shipped_name

# PAULow takes a pixel for an object where its logit is above 0.5.
PAULOW_THRESHOLD = 1 / (1 + math.exp(-0.5))
PAULOW_PATCH_PX = 128
MAX_RESCALE = 8.0
_PAULOW_NOTE = (
    "A PAULow state dict, which tells nothing of its training: normalization, patch size and threshold are PAULow's "
    "(divided by the data type's maximum, 128 px, logit above 0.5)."
)
_CHOOSE = "Choose another model."
_KIND = {"architecture": "attention-unet", "layer_naming": "paulow-1"}
_OF_THE_FILE = {"payload_sha256", "format_version", "written_by", *_KIND}


class ModelCard(BaseModel):
    """What a model says of itself.

    Parameters
    ----------
    shape
        Shape of the network.
    normalization, channels
        How an image becomes the network's input.
    patch_size
        Side of the training patches in pixels; prediction uses tiles of this size.
    threshold
        Probability above which a pixel is an object.
    rescale
        Factor by which images are resampled before the network sees them.
    knows
        How images of each dataset are shown that it was trained on, the oldest first; empty: as they are.
    provenance
        Where the model comes from.
    older
        The card of the model that older datasets keep; see `serving`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    shape: ModelConfig
    normalization: Normalization = Field(default_factory=Normalization)
    channels: ChannelRule = Field(default_factory=ChannelRule)
    patch_size: int = 128
    threshold: float = 0.5
    rescale: float = 1.0
    knows: tuple[Appearance, ...] = ()
    provenance: Provenance = Field(default_factory=Provenance)
    older: ModelCard | None = None

    @property
    def name(self) -> str:
        """How to call it; empty for a model that was never in a file."""
        return self.provenance.name

    @property
    def is_finetuned(self) -> bool:
        """Tell whether it came from another model."""
        return self.provenance.parent_sha256 is not None

    @property
    def image_count(self) -> int:
        """Number of annotated images that it was finetuned with; 0 for a base."""
        return len(self.provenance.images) if self.is_finetuned else 0

    @property
    def preset(self) -> str:
        """Preset that it was finetuned with; empty for a base, whatever that was made with itself."""
        return str(self.provenance.config.get("preset", "")) if self.is_finetuned else ""

    @property
    def images_in_words(self) -> str:
        """The images that it was trained with, and those that were held out."""
        held_out = self.provenance.names_held_out
        trained = [record.name for record in self.provenance.images if record.name not in held_out]
        others = f"; {len(held_out)} held out ({first_of(held_out)})" if held_out else ""
        return f"{counted(trained)} ({first_of(trained)}){others}"

    @property
    def scores_in_words(self) -> tuple[str, ...]:
        """Its scores, each with what it was measured on; that of an untrained network tells nothing."""
        scores = self.provenance.scores.items()
        known = [(name, value) for name, value in scores if name != "raw_val_dice" or self.is_finetuned]
        return tuple(f"{number(value)} {self._measured_on(name)}" for name, value in known)

    def _measured_on(self, score: str) -> str:
        if score == "val_dice" and (held_out := self.provenance.names_held_out):
            return f"on {counted(held_out, 'held-out image')}"
        return _SCORES.get(score) or _words_of(score)

    @property
    def view(self) -> ModelView:
        """How it looks at an image."""
        return ModelView(
            in_channels=self.shape.in_channels,
            channels=self.channels,
            normalization=self.normalization,
            rescale=self.rescale,
            knows=self.knows,
        )

    @property
    def quantiles(self) -> tuple[tuple[float, ...], ...]:
        """Quantiles of the normalized intensities of its datasets, if all are shown as they are; empty if unknown."""
        if any(one.changes for one in self.knows):
            return ()
        statistics = self.provenance.statistics
        found = [one.quantiles for one in self.knows] or ([statistics.normalized.everywhere] if statistics else [])
        return tuple(found) if all(found) else ()

    def seeing(self, channels: ChannelRule | None) -> Self:
        """Return the card of the same model, seeing of other channels what `channels` says; None changes nothing."""
        return self if channels is None else self.model_copy(update={"channels": channels})

    def is_for(self, appearance: Appearance) -> bool:
        """Tell whether images that are shown so are predicted with the model's own weights, not with those of `older`.

        These are the images of the datasets that are shown as the newest one, and those that are shown as none is.
        """
        if self.older is None or not self.knows or appearance.is_shown_as(self.knows[-1]):
            return True
        return not any(appearance.is_shown_as(one) for one in self.older.knows or (AS_THEY_ARE,))

    def serving(self, appearance: Appearance) -> ModelCard:
        """Return the card of the model that predicts images which are shown so: this one, or that of older datasets."""
        return self if self.older is None or self.is_for(appearance) else self.older

    def can_spare_old(self, *, are_given: bool) -> bool:
        """Tell whether old images may keep their weights: they are shown otherwise than those of the newest dataset.

        Those that `are_given` may be of any older dataset; others are patches that the model carries, of the oldest.
        """
        old = self.knows[:-1] if are_given else self.knows[:1]
        return bool(old) and not any(one.is_shown_as(self.knows[-1]) for one in old)

    def usual_channels(self, names: Sequence[str]) -> ChannelRule | None:
        """Return what this model sees of images whose channels have these names, while nobody has chosen any."""
        usual = usual_channels(names)
        if self.shape.in_channels > 1:
            return usual and ALL
        return usual if self.channels == ChannelRule() else self.channels

    @property
    def facts(self) -> ModelFacts:
        """What images are compared with."""
        return ModelFacts(self.name, self.view, self.provenance.statistics, self.is_finetuned)

    def check(self) -> None:
        """Check that all settings are in their range.

        Raises
        ------
        ModelError
            If one is not.
        """
        subject, multiple = self.name or "model", self.shape.side_multiple
        if not 0 < self.threshold < 1:
            raise ModelError(f"{subject}: the threshold is {self.threshold}. Give a probability between 0 and 1.")
        if not 0 < self.rescale <= MAX_RESCALE:
            raise ModelError(
                f"{subject}: the rescale factor is {self.rescale}. Give a factor above 0 and up to {MAX_RESCALE:g}."
            )
        is_one_family = self.older is None or (self.older.shape == self.shape and self.older.older is None)
        if not is_one_family or not all(one.fits(self.shape.in_channels) for one in self.knows):
            raise ModelError(f"{subject}: what it says of the intensities of its images is damaged. {_CHOOSE}")
        if not multiple <= self.patch_size <= MAX_PATCH_PX or self.patch_size % multiple:
            raise ModelError(
                f"{subject}: the patch size is {shortened(str(self.patch_size), 20)} px. "
                f"A network of {self.shape.levels} levels needs a multiple of {multiple}, at most {MAX_PATCH_PX}."
            )

    def describe(self) -> dict[str, Any]:
        """Return what a model file says, as JSON values."""
        left_out = {"older"} if self.older is None else set()
        fields = self.model_dump(mode="json", include=set(ModelCard.model_fields) - left_out)
        return {
            "format_version": FIRST_FORMAT_VERSION if self.older is None else FORMAT_VERSION,
            "written_by": installed_version(),
            **_KIND,
            "model": fields.pop("shape"),
            **fields,
        }


_SCORES = {
    "test_dice": "on test images",
    "val_dice": "on held-out images",
    "raw_val_dice": "by its parent on the same images",
    "old_dice_before": "on old images before",
    "old_dice_after": "on old images after",
    "finetuned_share": "of the way from the weights of its parent to finetuned ones",
}
_PART = re.compile(r"test_dice of (\d+) images, (.+)")


def _words_of(score: str) -> str:
    """Return what a score of another name was measured on, such as ``test_dice of 16 images, sizes not trained on``."""
    known = _PART.fullmatch(score)
    return f"on {known[1]} test images of {known[2]}" if known else score.replace("_", " ")


class FileCard(ModelCard):
    """The card of a model file, `size_bytes` large.

    One that `is_foreign`, of another program, tells the `shape` of its network only when it is loaded. One that
    `only_predicts` is a network that cannot be trained or exported here.
    """

    path: Path
    size_bytes: int
    is_foreign: bool = False
    only_predicts: bool = False

    @property
    def plain(self) -> ModelCard:
        """The card without its file."""
        return ModelCard(**{name: getattr(self, name) for name in ModelCard.model_fields})

    @property
    def why_not_trained(self) -> str:
        """That no training can start from it, in a sentence; empty if one can."""
        if not self.only_predicts:
            return ""
        return f"{self.name} is a network of another program: it can predict and be compared, but not be finetuned."

    @property
    def is_shipped(self) -> bool:
        """Tell whether it ships with this program."""
        return bool(shipped_name(self.path))

    @property
    def target(self) -> str:
        """What a model finds that ships, or is of another program, in a sentence: its first note; else empty."""
        return "".join(self.provenance.notes[:1]) if self.is_shipped or self.only_predicts else ""


def find_model_file(model: str | Path) -> Path:
    """Return the file of a model that ships, given its name, or `model` itself, be it there or not."""
    return find_model(str(model)) or Path(model)


def find_named_model(model: str | Path) -> Path:
    """Return what `find_model_file` returns; a bare name that is neither a file nor a model that ships is refused.

    Raises
    ------
    ModelError
        If there is no model of that name.
    """
    path = find_model_file(model)
    if len(path.parts) == 1 and not path.suffix and not _exists(path):
        names = ", ".join(list_models()) or "none yet"
        raise ModelError(
            f"There is no model called '{model}'. Give the path of a model file, or a model that ships: {names}."
        )
    return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a file's name
        return False


def read_card(model: str | Path) -> FileCard:
    """Return the card of a model file, or of a model that ships.

    The tensors are not looked at, so that a file whose header is sound may still turn out to be damaged.

    Raises
    ------
    ModelError
        If there is no such model, or its file is damaged, foreign or of a newer version.
    """
    path = find_named_model(model)
    if is_foreign(path):
        from .foreign.description import read_foreign

        return read_foreign(path).card
    return parse_card(path, read_description(path)) if is_safetensors(path) else paulow_card(path)


def parse_card(path: Path, description: Mapping[str, Any]) -> FileCard:
    """Return the card that the `description` in the model file `path` holds.

    Raises
    ------
    ModelError
        If it is of another kind of network, or a field is missing, unknown or not valid.
    """
    for name, ours in _KIND.items():
        if (found := description.get(name)) != ours:
            raise ModelError(f"{path} holds a network of {name} {shortened(repr(found), 40)}, not '{ours}'. {_CHOOSE}")
    fields = {name: value for name, value in description.items() if name not in _OF_THE_FILE}
    fields |= {"shape": fields.pop("model", None), "path": path, "size_bytes": path.stat().st_size}
    fields["provenance"] = _apart_from_base(fields.get("provenance"))
    try:
        card = FileCard.model_validate(fields)
    except ValidationError as error:
        where, what = first_fault(error)
        raise ModelError(f"{path}: its description is not valid ({where}: {what}). {_CHOOSE}") from error
    named = card.provenance.model_copy(update={"name": name_of_file(path)})  # its file may have been renamed
    return card.model_copy(update={"provenance": named})


def _apart_from_base(provenance: Any) -> Any:
    """Return the history of a model whose older file called the license of its base its own."""
    if not isinstance(provenance, dict) or not provenance.get("parent_sha256") or "base_license" in provenance:
        return provenance
    inherited = {"base_license": provenance.get("licence", ""), "base_citation": provenance.get("citation", "")}
    return provenance | inherited | {"licence": "", "citation": ""}


def paulow_card(path: Path) -> FileCard:
    """Return the card of a PAULow state dict: what is known of all of them."""
    return FileCard(
        shape=ModelConfig(),
        normalization=Normalization(method="none"),
        patch_size=PAULOW_PATCH_PX,
        threshold=PAULOW_THRESHOLD,
        provenance=Provenance(name=name_of_file(path), created="", package_version="", notes=(_PAULOW_NOTE,)),
        path=path,
        size_bytes=path.stat().st_size,
        is_foreign=True,
    )
