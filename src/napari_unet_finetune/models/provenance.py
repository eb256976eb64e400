"""Where a model comes from: data, settings, versions, scores and parent, as they are stored in its file."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from math import isfinite
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from ..data.annotated_image import AnnotatedImage
from ..data.statistics import DataStatistics
from ..io.pixels import sha256_of
from ..io.regions.identity import identity_of
from ..io.regions.region import Region, is_large, without_mark

DISTRIBUTION = "napari-unet-finetune"
_RECORDED = (
    DISTRIBUTION,
    "torch",
    "numpy",
    "scipy",
    "scikit-image",
    "tifffile",
    "imagecodecs",
    "pillow",
    "safetensors",
    "pydantic",
)


@cache
def installed_version(distribution: str = DISTRIBUTION) -> str:
    """Return the version of `distribution`, or ``unknown`` where it runs from a plain source folder."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of every package that can change a result."""
    return {"python": platform.python_version(), **{name: installed_version(name) for name in _RECORDED}}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Place(_Record):
    """A region, and of which large image: `whole` is its `identity_of`."""

    whole: str
    region: Region

    @classmethod
    def of(cls, image: AnnotatedImage) -> Self | None:
        """Return where `image` lies: in the one that it is a region of, or in itself if it is large; else ``None``.

        Raises
        ------
        DataError
            If the image that it is a region of cannot be read.
        """
        if image.whole is not None and image.region is not None:
            return cls(whole=image.whole, region=image.region)
        return cls(whole=identity_of(image), region=Region.whole(image.shape)) if is_large(image.shape) else None


class TrainingImage(_Record):
    """One training image: its name, the sha256 of its pixels with their labels, and that of its pixels alone.

    Of a large image, or a region of one, the `place` is kept, by which the pixels are known when a region of them has
    other edges; ``None`` for others, and in older files.
    """

    name: str
    sha256: str
    pixels_sha256: str | None = None  # None in older files
    place: Place | None = None

    @property
    def name_of_image(self) -> str:
        """Its name or, of a region, that of its image; in files without places, the name tells what is a region."""
        return without_mark(self.name) if self.place is None else self.name.removesuffix(self.place.region.mark)

    def is_same(self, other: TrainingImage) -> bool:
        """Tell whether both have the same pixels, or some of one image, with the same labels or others."""
        pixels = self.pixels_sha256
        is_equal = self.sha256 == other.sha256 or (pixels is not None and pixels == other.pixels_sha256)
        return is_equal or (self._shares_image(other) and self._overlaps(other))

    def _shares_image(self, other: TrainingImage) -> bool:
        """Tell whether both are regions of one image."""
        return self.place is not None and other.place is not None and self.place.whole == other.place.whole

    def _overlaps(self, other: TrainingImage) -> bool:
        assert self.place is not None
        assert other.place is not None
        return self.place.region.common(other.place.region) is not None

    @classmethod
    def of(cls, image: AnnotatedImage) -> Self:
        """Return what is kept of `image`; raises `DataError` as `Place.of` does."""
        whole = sha256_of(image.image, image.labels, image.annotated)
        return cls(name=image.name, sha256=whole, pixels_sha256=sha256_of(image.image), place=Place.of(image))

    @model_serializer(mode="wrap")
    def _without_empty_place(self, write: SerializerFunctionWrapHandler, _info: SerializationInfo) -> dict[str, Any]:
        """Leave out the place where there is none: earlier versions know no such field."""
        return {name: value for name, value in write(self).items() if name != "place" or value is not None}


class Provenance(_Record):
    """The history of a model; everything has a default, so that a caller states what it knows.

    `created` is UTC in ISO 8601. `held_out` names those of the images that only validated, ``None`` in older files.
    `parent_sha256` is `weights_hash` of the model that was finetuned. `config` is the `FinetuneConfig` as JSON
    values. `scores` are named by the caller, for example ``val_dice``. `statistics` are those of the images, `None`
    in models of other programs and in older files. `licence` and `citation` are those of the model itself, which its
    maker states; what the model was finetuned from has its own, `base_license` and `base_citation`.
    """

    name: str = ""
    created: str = Field(default_factory=_now)
    package_version: str = Field(default_factory=installed_version)
    parent: str | None = None
    parent_sha256: str | None = None
    images: tuple[TrainingImage, ...] = ()
    held_out: tuple[str, ...] | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    scores: dict[str, Annotated[float, Field(allow_inf_nan=True)]] = Field(default_factory=dict)
    statistics: DataStatistics | None = None
    notes: tuple[str, ...] = ()
    licence: str = ""
    citation: str = ""
    base_license: str = ""
    base_citation: str = ""

    @field_validator("scores")
    @classmethod
    def _known(cls, scores: dict[str, float]) -> dict[str, float]:
        """Leave out scores that are no numbers: JSON has no words for them, and neither has a table."""
        return {name: score for name, score in scores.items() if isfinite(score)}

    @property
    def license_in_words(self) -> str:
        """Its license and that of its base; empty if neither is stated."""
        return _with_base(self.licence, self.base_license)

    @property
    def citation_in_words(self) -> str:
        """What to cite for it and for its base; empty if neither is stated."""
        return _with_base(self.citation, self.base_citation)

    @property
    def names_held_out(self) -> tuple[str, ...]:
        """Those of the images that were held out, as far as the file tells."""
        asked = self.config.get("held_out") or () if self.held_out is None else self.held_out
        return tuple(one.name for one in self.images if one.name in asked)

    def knows(self, image: TrainingImage) -> bool:
        """Tell whether `image` took part in the model's training, with these labels or others."""
        return self.use_of(image) != ""

    def use_of(self, image: TrainingImage) -> Literal["", "train", "validation", "any"]:
        """Return what the training of the model used `image` for; one of the first two uses, if that is not known."""
        known = [one.name for one in self.images if image.is_same(one)]
        if not known:
            return ""
        held_out = self.config.get("held_out") if self.held_out is None else self.held_out
        if held_out is None:
            return "any"
        return "validation" if all(name in held_out for name in known) else "train"


def _with_base(own: str, of_base: str) -> str:
    return "; ".join(filter(None, (own, of_base and f"base model: {of_base}")))
