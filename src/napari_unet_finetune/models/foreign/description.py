"""What a package of another program says of its network: translated, or refused by name; nothing is carried out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config import MAX_PATCH_PX, ModelConfig, Normalization
from ...data.view.intensities import VALUE_RANGE
from ...errors import ModelError
from ...io.disk import Stamp, file_stamp
from ...text import listed, shortened
from ..card import FileCard
from ..extra import needed_for
from ..names import name_of_file
from ..packages import DESCRIPTIONS, read_member
from ..provenance import Provenance
from .rdf import Rdf, Size, Sizes, StepRdf, Tensor, kwargs_of, parse_rdf

Values = NDArray[np.float32]
_AXES = ["batch", "channel", "y", "x"]
_USUAL_TILE_PX = 256
_WHITE = 255
_NOTHING = ("ensure_dtype",)  # steps that change no value here, where all are float32
_NOTE = "A network of another program, which predicts on the CPU and cannot be finetuned."
_CUT = "Intensities far beyond the percentiles, below {} and above {}, are cut off here, unlike in other programs."
_MOST_TEXT = 2**17
_VERSIONS = ("0.4.", "0.5.")
_KEPT = 16


@dataclass(frozen=True)
class Step:
    """A step of processing that changes each value by itself."""

    id: str
    kwargs: Mapping[str, Any]

    def __call__(self, values: Values) -> Values:
        """Return `values` changed."""
        if self.id == "clip":
            values = np.clip(values, self.kwargs.get("min"), self.kwargs.get("max"))
        else:
            values = values * self.kwargs["gain"] + self.kwargs["offset"]
        return values.astype(np.float32)

    @property
    def in_words(self) -> str:
        """What it does, as part of a sentence."""
        if self.id != "clip":
            gain, offset = self.kwargs["gain"], self.kwargs["offset"]
            return f"multiplied by {gain:.4g}, {'minus' if offset < 0 else 'plus'} {abs(offset):.4g}"
        limits = (("min", "below"), ("max", "above"))
        found = [f"{word} {self.kwargs[name]:.4g}" for name, word in limits if name in self.kwargs]
        return f"cut off {' and '.join(found)}"


@dataclass(frozen=True)
class Description:
    """What a package says of its network: its card, and what is done to a tile before and after."""

    card: FileCard
    weights: str
    sha256: str | None
    steps: tuple[Step, ...]
    gives_logits: bool


def refused(path: Path, reason: str) -> ModelError:
    """Return the error that says why a package cannot be used."""
    return ModelError(
        f"{path} is a package of another program and cannot predict here: {reason}. Choose one with a network in ONNX "
        "that finds one kind of object in two-dimensional images, or a package that this program exported."
    )


def read_foreign(path: Path) -> Description:
    """Return what the package `path` says.

    Raises
    ------
    ModelError
        If its network cannot predict here, or the package ruyaml is missing.
    """
    return _read(path, file_stamp(path))


def steps_of(card: FileCard) -> tuple[Step, ...]:
    """Return what is done to the values of a normalized image before the network of `card` sees them."""
    return read_foreign(card.path).steps if card.only_predicts else ()


@lru_cache(maxsize=_KEPT)
def _read(path: Path, _stamp: Stamp) -> Description:
    """Read a description once; docks ask for a card again and again."""
    values = _values_in(path)
    kind = values.get("type")
    if kind != "model":
        raise refused(path, f"it holds a {shortened(str(kind), 40)}, not a model" if kind else "it names no model")
    version = str(values.get("format_version", "without a number"))
    if not version.startswith(_VERSIONS):
        known = listed([one.rstrip(".") for one in _VERSIONS])
        raise refused(path, f"its description is of format {shortened(version, 20)}; {known} are known here")
    try:
        return _described(path, parse_rdf(values, version))
    except _UnknownError as error:
        raise refused(path, str(error)) from error
    except ValueError as error:
        raise refused(path, f"its description is not valid ({shortened(str(error), 160)})") from error


def _values_in(path: Path) -> dict[str, Any]:
    """Return what the text of a description says, unless in it a short text may stand for a huge one."""
    text = next(filter(None, (read_member(path, name, at_most=_MOST_TEXT) for name in DESCRIPTIONS)), b"")
    with needed_for("A package of another program"):
        from ruyaml import YAML
        from ruyaml.composer import Composer
        from ruyaml.events import AliasEvent

    class WithoutReferences(Composer):  # type: ignore[misc]
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.parser.check_event(AliasEvent):
                raise refused(path, "its description has references within itself")
            return super().compose_node(parent, index)

    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = WithoutReferences
    try:
        values = yaml.load(text.decode())
    except ModelError:
        raise
    except Exception as error:  # of kinds of its own
        raise refused(path, "its description cannot be read") from error
    if not isinstance(values, dict):
        raise refused(path, "its description cannot be read")
    return values


class _UnknownError(Exception):
    """What a description asks for and is not known here, in words that follow a colon."""


def _described(path: Path, model: Rdf) -> Description:
    source, result = _only(model.inputs, "inputs"), _only(model.outputs, "results")
    _check_axes(source, "sees")
    _check_axes(result, "gives")
    if (count := _channels(result)) != 1:
        raise _UnknownError(f"its result has {count} channels")
    if model.run_mode is not None:
        raise _UnknownError(f"it asks to be run in a way of its own, {shortened(model.run_mode.name, 40)}")
    weights = model.onnx
    if weights is None:
        there = [name for name, entry in model.weights.items() if entry is not None]
        raise _UnknownError(f"it has no ONNX weights, but {shortened(', '.join(there) or 'no others', 100)}")
    if weights.external_data is not None:
        raise _UnknownError("its ONNX weights lie in two files")
    normalization, steps = _before(source.preprocessing)
    gives_logits, threshold = _after(result.postprocessing)
    card = FileCard(
        shape=ModelConfig(in_channels=_channels(source)),
        normalization=normalization,
        patch_size=_tile(source),
        threshold=threshold,
        provenance=_provenance(path, model, *_cut(normalization, steps), *_further(steps)),
        path=path,
        size_bytes=path.stat().st_size,
        is_foreign=True,
        only_predicts=True,
    )
    card.check()
    return Description(card, _member(weights.source), weights.sha256, steps, gives_logits)


def _only(tensors: tuple[Tensor, ...], what: str) -> Tensor:
    if len(tensors) != 1:
        raise _UnknownError(f"it has {len(tensors)} {what}, not one")
    return tensors[0]


def _check_axes(tensor: Tensor, does: str) -> None:
    axes = [axis.name for axis in tensor.axes]
    if "z" in axes:
        raise _UnknownError(f"it {does} volumes, with an axis z, not two-dimensional images")
    if axes != _AXES:
        named = shortened(", ".join(axes), 100)
        raise _UnknownError(f"it {does} the axes {named}, not {', '.join(_AXES)}")
    if tensor.types != {"float32"}:
        raise _UnknownError(f"it {does} {shortened(', '.join(sorted(tensor.types)), 60)}, not float32")


def _channels(tensor: Tensor) -> int:
    return len(tensor.axes[1].channel_names)


def _tile(tensor: Tensor) -> int:
    """Return the side of tiles that the network takes: the one it is fixed to, or about the usual one."""
    sizes = {_side(axis.size) for axis in tensor.axes[2:]}
    if len(sizes) != 1:
        raise _UnknownError("it sees tiles that are not square")
    return sizes.pop()


def _side(size: Size | None) -> int:
    if isinstance(size, Sizes):
        steps = max(0, -(-(_USUAL_TILE_PX - size.min) // size.step))
        side = size.min + steps * size.step
    elif isinstance(size, int):
        side = size
    else:
        raise _UnknownError("the size of its tiles follows from something else")
    if side > MAX_PATCH_PX:
        raise _UnknownError(f"it sees tiles of {side} pixels, more than {MAX_PATCH_PX}")
    return side


def _before(described: Iterable[StepRdf]) -> tuple[Normalization, tuple[Step, ...]]:
    """Return the normalization of a whole image, and what is done to the values of a tile after it."""
    first, *others = [*_steps(described), Step("", {})]
    normalization = _normalization(first)
    steps = tuple(step for step in others if step.id)
    for step in steps:
        if not _is_of_each_value(step):
            raise _UnknownError(f"its preprocessing '{step.id}' is not known here")
    return normalization, steps


def _normalization(step: Step) -> Normalization:
    given = step.kwargs
    is_share = step.id == "scale_linear" and _is_of_each_value(step) and given["offset"] == 0
    if is_share and abs(given["gain"] * _WHITE - 1) < 1e-6:
        return Normalization(method="none")
    axes = given.get("axes")
    is_of_image = (axes is None or {"y", "x"} <= set(axes)) and not given.get("reference_tensor")
    per_channel = axes is not None and "channel" not in axes
    if step.id == "zero_mean_unit_variance" and is_of_image:
        return Normalization(method="zscore", per_channel=per_channel)
    if step.id == "scale_range" and is_of_image:
        return Normalization(low=given["min_percentile"], high=given["max_percentile"], per_channel=per_channel)
    raise _UnknownError(f"its preprocessing begins with '{step.id}'" if step.id else "it has no preprocessing")


def _is_of_each_value(step: Step) -> bool:
    """Tell whether the values of a tile can be changed so without those of the image."""
    if step.id == "scale_linear":
        return all(isinstance(step.kwargs.get(name), float | int) for name in ("gain", "offset"))
    return step.id == "clip" and step.kwargs.keys() <= {"min", "max"}


def _after(described: Iterable[StepRdf]) -> tuple[bool, float]:
    """Return whether results are logits, and the threshold."""
    gives_logits, threshold = False, 0.5
    for step in _steps(described):
        if step.id == "sigmoid":
            gives_logits = True
        elif step.id == "binarize" and isinstance(step.kwargs.get("threshold"), float | int):
            threshold = float(step.kwargs["threshold"])
        elif not (step.id == "clip" and dict(step.kwargs) == {"min": 0, "max": 1}):
            raise _UnknownError(f"its postprocessing '{step.id}' is not known here")
    if not 0 < threshold < 1:
        raise _UnknownError(f"its threshold is {threshold:g}, not between 0 and 1")
    return gives_logits, threshold


def _steps(described: Iterable[StepRdf]) -> Iterator[Step]:
    for one in described:
        if one.id not in _NOTHING:
            yield Step(shortened(one.id, 40), kwargs_of(one))


def _member(source: str) -> str:
    """Return the name in the package of a file that is called ``weights.onnx``, or ``./weights.onnx``."""
    return str(PurePosixPath(source))


def _cut(normalization: Normalization, steps: tuple[Step, ...]) -> Iterator[str]:
    """Say that extreme values are cut off, unless the network does not see them anyway."""
    low, high = VALUE_RANGE
    limits = steps[0].kwargs if steps and steps[0].id == "clip" else {}
    if (
        normalization.method == "percentile"
        and not low <= limits.get("min", low - 1) <= limits.get("max", high + 1) <= high
    ):
        yield _CUT.format(f"{low:g}", f"{high:g}")


def _further(steps: tuple[Step, ...]) -> Iterator[str]:
    """Say what else is done to the values of a normalized image."""
    if steps:
        yield f"Normalized values are then {'; then '.join(step.in_words for step in steps)}."


def _provenance(path: Path, model: Rdf, *notes: str) -> Provenance:
    return Provenance(
        name=name_of_file(path),
        created="",
        package_version="",
        licence=model.license or "",
        citation="; ".join(one.text for one in model.cite if one.text),
        notes=(shortened(model.description or model.name, 300), _NOTE, *notes),
    )
