"""A model as a package of BioImage.IO, which Fiji, QuPath, ilastik and the BioImage Model Zoo read."""

from __future__ import annotations

import gc
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from ..config import ExportConfig
from ..errors import ModelError
from ..models.card import ModelCard
from ..models.extra import needed_for
from ..models.header import KEY
from ..models.model import Model
from ..text import shortened
from .example import Example, make_example
from .network import INPUT, OPSET, Outside, to_onnx, to_torchscript
from .readme import MODEL_FILE, description_of, readme_of, training_of
from .recipe import Recipe, Step

_ONNX, _TORCHSCRIPT, _README, _COVER = "weights.onnx", "weights.pt", "README.md", "cover.png"
_NAME_LENGTHS = (5, 64)  # what the format takes, and what it advises
_LONGEST_TEXT = 512
_ATTENTION = {
    "text": "Oktay O. et al.: Attention U-Net: learning where to look for the pancreas. 2018.",
    "doi": "10.48550/arXiv.1804.03999",
}
_DOI = re.compile(r"10\.\d{4,9}/[^\s,;\"']*[^\s,;.\"')]")
_TEST_INPUT, _TEST_OUTPUT = "test_input.npy", "test_output.npy"
_LEAST_RESULT = 1e-4  # the format takes no test with less
_TOLERANCE = 1e-3


def write_package(model: Model, recipe: Recipe, config: ExportConfig, facts: dict[str, Any]) -> bytes:
    """Return a package of BioImage.IO with `model`, which its own validator has found right.

    It holds the network as ONNX (and as TorchScript, if `config` says so), an example to test it with, a cover, a page
    to read, and the model's file itself. `facts` stand in its description as `config`.

    Raises
    ------
    ModelError
        If the package bioimageio.spec is missing, or does not take what `config` says.
    """
    with needed_for("BioImage.IO"):
        import bioimageio.spec  # noqa: F401
    with TemporaryDirectory() as folder:
        content = _Content(model, recipe, config, facts).write(Path(folder))
        with _closes_files():
            return _zipped(content, Path(folder))


def _zipped(content: dict[str, Any], folder: Path) -> bytes:
    """Return the package of the files in `folder` that `content` describes."""
    from bioimageio.spec import InvalidDescr, ValidationContext, build_description, save_bioimageio_package

    description = build_description(content, context=ValidationContext(root=folder))
    if isinstance(description, InvalidDescr):
        reason = description.validation_summary.details[0].errors[0]
        raise ModelError(f"This cannot be written as a package of BioImage.IO: {reason.loc}: {reason.msg}.")
    package: Path = save_bioimageio_package(description, output_path=folder / "package.zip")
    return package.read_bytes()


@contextmanager
def _closes_files() -> Iterator[None]:
    """Close the files that bioimageio.spec leaves open: until then, Windows would not remove them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            gc.collect()


class _Content:
    """The files of a package, and its description as the format wants it."""

    def __init__(self, model: Model, recipe: Recipe, config: ExportConfig, facts: dict[str, Any]) -> None:
        self.model, self.recipe, self.config, self.facts = model, recipe, config, facts
        self.output = "mask" if config.mask else "probability"

    def write(self, folder: Path) -> dict[str, Any]:
        """Write all files into `folder` and return the description."""
        example = make_example(self.model, self.recipe)
        result = self._result(example)
        if result.max() > _LEAST_RESULT:  # else there is nothing to test
            np.save(folder / _TEST_INPUT, example.pixels[np.newaxis].astype(np.float32))
            np.save(folder / _TEST_OUTPUT, result)
        Image.fromarray(example.cover).save(folder / _COVER)
        kept = self.model if self.config.patches else replace(self.model, rehearsal=None)
        kept.save(folder / MODEL_FILE)
        (folder / _README).write_text(readme_of(self.model, self.recipe, self.config), encoding="utf-8")
        return {
            **self._about(),
            "inputs": [{**self._input(), **_tested(folder / _TEST_INPUT)}],
            "outputs": [{**self._output(), **_tested(folder / _TEST_OUTPUT)}],
            "weights": self._write_weights(folder),
            "config": {"bioimageio": self._bioimageio(float(result.max())), KEY: self.facts},
        }

    def _result(self, example: Example) -> np.ndarray[Any, np.dtype[np.float32]]:
        found = example.probabilities
        if self.config.mask:
            found = (found > self.recipe.threshold).astype(np.float32)
        return found[np.newaxis, np.newaxis]

    def _write_weights(self, folder: Path) -> dict[str, Any]:
        import torch

        network = Outside(self.model, curves=self.recipe.curves, logits=True)
        (folder / _ONNX).write_bytes(to_onnx(network, self.model, self.output))
        weights: dict[str, Any] = {"onnx": {"source": _ONNX, "opset_version": OPSET}}
        if self.config.torchscript:
            (folder / _TORCHSCRIPT).write_bytes(to_torchscript(network, self.model))
            version = str(torch.__version__).partition("+")[0]
            weights["torchscript"] = {"source": _TORCHSCRIPT, "pytorch_version": version, "parent": "onnx"}
        return weights

    def _about(self) -> dict[str, Any]:
        from bioimageio.spec.model.v0_5 import ModelDescr

        card = self.model.card
        return {
            "type": "model",
            "format_version": ModelDescr.implemented_format_version,
            "name": package_name(self.config.name or card.name),
            "description": shortened(description_of(card), _LONGEST_TEXT),
            "authors": [{"name": name} for name in self.config.author_names],
            "license": _license(self.config, card),
            "cite": list(_citations(card)),
            "documentation": {"source": _README},
            "covers": [{"source": _COVER}],
            "attachments": [{"source": MODEL_FILE}],
            "tags": ["2d", "attention-unet", "napari-unet-finetune", "semantic-segmentation", "unet"],
            **_training_data(card),
        }

    def _input(self) -> dict[str, Any]:
        size = self.recipe.tile
        names = [f"channel{number}" for number in range(self.recipe.channels)] if self.recipe.channels > 1 else ["gray"]
        return {
            "id": INPUT,
            "description": "a tile of an image whose intensities are normalized as a whole",
            "axes": [
                {"type": "batch"},
                {"type": "channel", "channel_names": names},
                *({"type": "space", "id": axis, "size": size} for axis in "yx"),
            ],
            "data": {"type": "float32"},
            "preprocessing": [_described(step) for step in self.recipe.before],
        }

    def _output(self) -> dict[str, Any]:
        halo, data = self.recipe.halo, {"type": "float32", "range": [0.0, 1.0]}
        return {
            "id": self.output,
            "description": "1 where an object is" if self.config.mask else "probability of an object",
            "axes": [
                {"type": "batch"},
                {"type": "channel", "channel_names": ["object"]},
                *(
                    {"type": "space", "id": axis, "halo": halo, "size": {"tensor_id": INPUT, "axis_id": axis}}
                    for axis in "yx"
                ),
            ],
            "data": data,
            "postprocessing": [_described(step) for step in self.recipe.after],
        }

    def _bioimageio(self, largest: float) -> dict[str, Any]:
        """Return what the format itself knows beside; a test whose result is almost empty must be met more exactly."""
        tolerance = {
            "relative_tolerance": _TOLERANCE,
            "absolute_tolerance": min(_TOLERANCE, largest / 200),
            "output_ids": [self.output],
        }
        return {
            "reproducibility_tolerance": [tolerance],
            "architecture_type": "Attention U-Net",
            "task": "semantic segmentation",
        }


def _tested(file: Path) -> dict[str, Any]:
    return {"test_tensor": {"source": file.name}} if file.exists() else {}


def _described(step: Step) -> dict[str, Any]:
    return {"id": step.id, "kwargs": step.kwargs} if step.kwargs else {"id": step.id}


def package_name(name: str) -> str:
    """Return `name` with characters that the format takes, and as long as it wants."""
    plain = " ".join(re.sub(r"[^A-Za-z0-9_+() -]+", " ", name).split())
    shortest, longest = _NAME_LENGTHS
    return plain[:longest].strip() if len(plain) >= shortest else f"Attention U-Net {plain}".strip()


def _license(config: ExportConfig, card: ModelCard) -> str | None:
    """Return the license that is asked for, or the first that the model's file names; None if that is none.

    Raises
    ------
    ModelError
        If what is asked for is no license that the format knows.
    """
    from bioimageio.spec.model.v0_5 import LicenseId
    from pydantic import TypeAdapter, ValidationError

    wanted = config.license or re.split("[,;]", card.provenance.licence)[0].strip()
    try:
        return str(TypeAdapter(LicenseId).validate_python(wanted))
    except ValidationError:
        if config.license:
            raise ModelError(f"'{wanted}' is no SPDX license identifier. Give one such as CC-BY-4.0 or MIT.") from None
        return None


def _citations(card: ModelCard) -> Iterator[dict[str, str]]:
    """Yield what to cite; the format takes only what has a DOI, so that the rest stands in the page alone."""
    for citation in (card.provenance.citation, card.provenance.base_citation):
        if found := _DOI.search(citation):
            yield {"text": citation, "doi": found[0]}
    yield _ATTENTION


def _training_data(card: ModelCard) -> dict[str, Any]:
    from bioimageio.spec.dataset.v0_3 import DatasetDescr

    if not card.provenance.images:
        return {}
    return {
        "training_data": {
            "type": "dataset",
            "format_version": DatasetDescr.implemented_format_version,
            "name": package_name(f"Training images of {card.name}"),
            "description": shortened(training_of(card), _LONGEST_TEXT),
        }
    }
