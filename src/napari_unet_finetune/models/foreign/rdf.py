"""The description in a package of BioImage.IO as values whose types are checked, in the words of its format 0.5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...checked_json import Number, checked

_LETTERS = {"b": "batch", "c": "channel", "i": "index", "t": "time", "z": "z", "y": "y", "x": "x"}
_ID_OF_TYPE = {"space": "x"}  # of an axis without a name; the others are called as their type
_MOST_PX, _MOST_CHANNELS = 2**31, 1000

Pixels = Annotated[int, Field(gt=0, le=_MOST_PX)]
Names = tuple[str, ...]
Numbers = Number | list[Number]


class _Part(BaseModel):
    """What we know of a part; of what else it says, nothing is asked."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Exact(BaseModel):
    """Of these, all is known: what is not might change values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sizes(_Part):
    """The sizes that an axis may have: `min`, and that with any number of times `step` more."""

    min: Pixels
    step: Pixels


class SizeOfAnother(_Part):
    """A size that follows from another axis, or from what is seen."""


Size = Pixels | Sizes | SizeOfAnother


class Axis(_Part):
    """An axis of a tensor; `name` is what it is called."""

    type: Literal["batch", "channel", "index", "time", "space"]
    id: str | None = None
    size: Size | None = None
    channel_names: Names = ()

    @property
    def name(self) -> str:
        """Its name, such as ``channel`` or ``y``."""
        return self.id or _ID_OF_TYPE.get(self.type, self.type)


class _Linear(_Exact):
    axis: str | None = None
    gain: Numbers = 1.0
    offset: Numbers = 0.0


class _Clip(_Exact):
    axes: Names | None = None
    min: Number | None = None
    max: Number | None = None
    min_percentile: Number | None = None
    max_percentile: Number | None = None


class _ZeroMean(_Exact):
    axes: Names | None = None
    eps: Number = 1e-6


class _Range(_ZeroMean):
    min_percentile: float = Field(0.0, ge=0, lt=100)
    max_percentile: float = Field(100.0, gt=1, le=100)
    reference_tensor: str | None = None

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if self.min_percentile >= self.max_percentile:
            raise ValueError(f"{self.min_percentile:g} is not below {self.max_percentile:g}")
        return self


class _Binarize(_Exact):
    threshold: Numbers
    axis: str | None = None


_KWARGS: Mapping[str, type[BaseModel]] = {
    "scale_linear": _Linear,
    "clip": _Clip,
    "zero_mean_unit_variance": _ZeroMean,
    "scale_range": _Range,
    "binarize": _Binarize,
}


@dataclass(frozen=True)
class StepRdf:
    """A step of processing and its settings, which are not checked yet."""

    id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)


class _Values(_Part):
    type: str = "float32"


class Tensor(_Part):
    """What goes into a network, or comes out of it."""

    id: str
    axes: tuple[Axis, ...]
    data: _Values | tuple[_Values, ...] = _Values()
    preprocessing: tuple[StepRdf, ...] = ()
    postprocessing: tuple[StepRdf, ...] = ()

    @property
    def types(self) -> frozenset[str]:
        """The data types of its values."""
        return frozenset(one.type for one in (self.data if isinstance(self.data, tuple) else [self.data]))


class OnnxFile(_Part):
    """Where a network in ONNX lies in the package."""

    source: str
    sha256: str | None = None
    external_data: Any = None


class _Citation(_Part):
    text: str = ""


class _RunMode(_Part):
    name: str


class _About(_Part):
    name: str
    description: str | None = None
    license: str | None = None
    cite: tuple[_Citation, ...] = ()
    weights: Mapping[str, Any]
    run_mode: _RunMode | None = None

    @property
    def onnx(self) -> OnnxFile | None:
        """Its network in ONNX, if it has one."""
        found = self.weights.get("onnx")
        return None if found is None else checked(found, OnnxFile)


class Rdf(_About):
    """What a description says of a model."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def parse_rdf(values: Any, version: str) -> Rdf:
    """Return what the `values` of a description of format `version`, 0.4 or 0.5, say.

    Raises
    ------
    ValueError
        If they are something else; the message says in a few words what.
    """
    return _renewed(checked(values, _OldRdf)) if version.startswith("0.4.") else checked(values, Rdf)


def kwargs_of(step: StepRdf) -> dict[str, Any]:
    """Return all settings of a step that have a value, those with their default too; none of a step not known here.

    Raises
    ------
    ValueError
        If they are not what they should be.
    """
    kind = _KWARGS.get(step.id)
    return {} if kind is None else checked(dict(step.kwargs), kind).model_dump(exclude_none=True)


class _OldSizes(_Part):
    min: tuple[Pixels, ...]
    step: tuple[Annotated[int, Field(ge=0, le=_MOST_PX)], ...]


class _OldSizesOfAnother(_Part):
    reference_tensor: str
    scale: tuple[Number | None, ...]
    offset: tuple[Number, ...]


@dataclass(frozen=True)
class _OldStep:
    name: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)


class _OldTensor(_Part):
    name: str
    axes: str = Field(pattern=rf"^[{''.join(_LETTERS)}]+$")
    data_type: str
    shape: tuple[Pixels, ...] | _OldSizes | _OldSizesOfAnother
    preprocessing: tuple[_OldStep, ...] = ()
    postprocessing: tuple[_OldStep, ...] = ()


class _OldRdf(_About):
    """A description of format 0.4, which most packages of the BioImage Model Zoo were once written in."""

    inputs: tuple[_OldTensor, ...]
    outputs: tuple[_OldTensor, ...]


def _renewed(old: _OldRdf) -> Rdf:
    """Return what format 0.5 says for the same."""
    about = {name: getattr(old, name) for name in _About.model_fields}
    channels = {one.name: _old_sizes(one)[one.axes.index("c")] for one in old.inputs if "c" in one.axes}
    inputs, outputs = (tuple(_renewed_tensor(one, channels) for one in some) for some in (old.inputs, old.outputs))
    return Rdf(**about, inputs=inputs, outputs=outputs)


def _renewed_tensor(old: _OldTensor, channels: Mapping[str, Size | None]) -> Tensor:
    sizes = _old_sizes(old, channels)
    return Tensor(
        id=old.name,
        axes=tuple(_renewed_axis(letter, size) for letter, size in zip(old.axes, sizes, strict=True)),
        data=_Values(type=old.data_type),
        preprocessing=tuple(map(_renewed_step, old.preprocessing)),
        postprocessing=tuple(map(_renewed_step, old.postprocessing)),
    )


def _renewed_axis(letter: str, size: Size | None) -> Axis:
    name = _LETTERS[letter]
    if name == "channel":
        count = size if isinstance(size, int) else 0
        return Axis(type="channel", channel_names=tuple(map(str, range(min(count, _MOST_CHANNELS)))))
    return Axis.model_validate({"type": "space" if len(name) == 1 else name, "id": name, "size": size})


def _old_sizes(old: _OldTensor, channels: Mapping[str, Size | None] | None = None) -> tuple[Size | None, ...]:
    """Return the size of each axis; of a result whose size follows from what is seen, that of its channels alone."""
    shape = old.shape
    lists = [shape] if isinstance(shape, tuple) else [one for one in vars(shape).values() if isinstance(one, tuple)]
    if any(len(one) != len(old.axes) for one in lists):
        raise ValueError(f"{old.name}: its shape does not go with its axes, {old.axes}")
    if isinstance(shape, _OldSizes):
        pairs = zip(shape.min, shape.step, strict=True)
        return tuple(Sizes(min=low, step=step) if step else low for low, step in pairs)
    if isinstance(shape, tuple):
        return shape
    base = (channels or {}).get(shape.reference_tensor)
    seen = base if isinstance(base, int) else 0
    counts = [round((scale or 0) * seen + 2 * offset) for scale, offset in zip(shape.scale, shape.offset, strict=True)]
    return tuple(count if letter == "c" else None for letter, count in zip(old.axes, counts, strict=True))


def _renewed_step(old: _OldStep) -> StepRdf:
    kwargs = dict(old.kwargs)
    axes, mode = kwargs.pop("axes", None), kwargs.pop("mode", None)
    if old.name == "scale_linear":
        return StepRdf(id=old.name, kwargs=kwargs)
    if old.name == "zero_mean_unit_variance" and mode in (None, "fixed"):
        return StepRdf(id="fixed_zero_mean_unit_variance", kwargs=kwargs)
    if axes is not None:
        kwargs["axes"] = [_LETTERS.get(letter, letter) for letter in checked(axes, str)]
    return StepRdf(id=old.name, kwargs=kwargs)
