"""Finetune a patch-based Attention U-Net on a few annotated images; public names load when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checks.checkup import check_folder
    from .config import FinetuneConfig, ModelConfig, PredictConfig
    from .data.annotated_image import AnnotatedImage
    from .data.folders import AnnotatedFolder
    from .data.samples import make_microtube, write_microtube
    from .errors import DataError, DeviceError, FinetuneError, ModelError, RunError
    from .evaluation.evaluate import Tolerance, evaluate
    from .events import drain
    from .inference.predict import predict
    from .io.writing import write_labels
    from .models.load import load_model
    from .suggest.suggestion import suggest_images
    from .training.finetune import finetune, train

__all__ = [
    "AnnotatedFolder",
    "AnnotatedImage",
    "DataError",
    "DeviceError",
    "FinetuneConfig",
    "FinetuneError",
    "ModelConfig",
    "ModelError",
    "PredictConfig",
    "RunError",
    "Tolerance",
    "check_folder",
    "drain",
    "evaluate",
    "finetune",
    "load_model",
    "make_microtube",
    "predict",
    "suggest_images",
    "train",
    "write_labels",
    "write_microtube",
]

# Imported on first use: the command line and napari's menus must not wait for torch.
_NAMES_OF = {
    "checks.checkup": ("check_folder",),
    "config": ("FinetuneConfig", "ModelConfig", "PredictConfig"),
    "data.annotated_image": ("AnnotatedImage",),
    "data.folders": ("AnnotatedFolder",),
    "data.samples": ("make_microtube", "write_microtube"),
    "errors": ("ModelError", "DataError", "DeviceError", "FinetuneError", "RunError"),
    "evaluation.evaluate": ("Tolerance", "evaluate"),
    "events": ("drain",),
    "inference.predict": ("predict",),
    "io.writing": ("write_labels",),
    "models.load": ("load_model",),
    "suggest.suggestion": ("suggest_images",),
    "training.finetune": ("finetune", "train"),
}
_HOME = {name: module for module, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-unet-finetune")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
