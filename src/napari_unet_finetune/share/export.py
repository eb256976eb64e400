"""Write a model as a file that other programs run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config import ExportConfig, ExportFormat
from ..errors import DataError
from ..inference.views import knows_mirrored
from ..io.disk import check_suffix, write_file
from ..models.model import Model, weights_hash
from ..models.provenance import installed_version
from .exported import Exported
from .recipe import Recipe, appearance_of, recipe_of

SUFFIXES: dict[ExportFormat, tuple[str, ...]] = {
    "bioimageio": (".zip",),
    "onnx": (".onnx",),
    "torchscript": (".pt", ".torchscript"),
}


def export_model(model: Model, out: Path | str, config: ExportConfig | None = None, **settings: Any) -> Exported:
    """Write `model` to the new file `out`, from which other programs run it.

    Parameters
    ----------
    out
        A file that is not there yet; it ends in ``.zip`` (a package of BioImage.IO), ``.onnx``, ``.pt`` or
        ``.torchscript``.
    config
        Settings; `settings` are its fields by name, such as ``mask=True``.

    Raises
    ------
    DataError
        If the file is there already, has another ending, or cannot be written.
    ModelError
        If the model is too large for the format or does not know such a dataset, or the format does not take what
        is said of the model, or a package is missing.
    """
    config, out = ExportConfig.given(config, settings), Path(out)
    kind = _format(config, out)
    if out.exists():
        raise DataError(f"{out} exists already. Choose another name.")
    mirrored = knows_mirrored(model.serving(appearance_of(model.card, config.dataset)))
    recipe = recipe_of(model.card, dataset=config.dataset, mask=config.mask, mirrored=mirrored)
    model = model.serving(recipe.appearance)  # what is said of a newer model is not true of one that older images keep
    data = _written(model, kind, recipe, config)
    write_file(out, data)
    return Exported(out, kind, len(data), recipe, _carried(model, kind, config))


def _carried(model: Model, kind: ExportFormat, config: ExportConfig) -> int:
    """Return how many patches of training images the file carries."""
    return len(model.rehearsal) if kind == "bioimageio" and config.patches and model.rehearsal else 0


def _format(config: ExportConfig, out: Path) -> ExportFormat:
    if config.format is None:
        check_suffix(out, *(suffix for suffixes in SUFFIXES.values() for suffix in suffixes))
        kind = next(kind for kind, suffixes in SUFFIXES.items() if out.suffix.lower() in suffixes)
    else:
        kind = config.format
        check_suffix(out, *SUFFIXES[kind])
    if config.torchscript and kind != "bioimageio":
        raise DataError(f"{out}: only a package, which ends in .zip, holds TorchScript too. Export it to its own file.")
    return kind


def _written(model: Model, kind: ExportFormat, recipe: Recipe, config: ExportConfig) -> bytes:
    from .network import Outside, to_onnx, to_torchscript
    from .package import write_package

    facts = facts_of(model, recipe, config)
    if kind == "bioimageio":
        return write_package(model, recipe, config, facts)
    network = Outside(model, curves=recipe.curves, threshold=recipe.threshold if config.mask else None)
    if kind == "torchscript":
        return to_torchscript(network, model, facts)
    return to_onnx(network, model, "mask" if config.mask else "probability", facts)


def facts_of(model: Model, recipe: Recipe, config: ExportConfig) -> dict[str, Any]:
    """Return what travels with a network, as JSON values: how to use it, whose it is, and its card."""
    return {
        "written_by": installed_version(),
        "weights_sha256": weights_hash(model.weights),
        "name": config.name or model.card.name,
        "authors": list(config.author_names),
        "license": config.license or model.card.provenance.licence,
        "recipe": recipe.to_json(),
        "card": model.card.describe(),
    }
