"""Finetune a patch-based Attention U-Net on a few annotated images; public names load when they are first used."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checks.checkup import check as check
    from .config import ExportConfig as ExportConfig
    from .config import FinetuneConfig as FinetuneConfig
    from .config import ModelConfig as ModelConfig
    from .config import PredictConfig as PredictConfig
    from .data.annotated_image import AnnotatedImage as AnnotatedImage
    from .data.folders import open_folder as open_folder
    from .data.samples import make_microtube as make_microtube
    from .data.samples import write_microtube as write_microtube
    from .engine import Cluster as Cluster
    from .errors import DataError as DataError
    from .errors import DeviceError as DeviceError
    from .errors import FinetuneError as FinetuneError
    from .errors import ModelError as ModelError
    from .errors import RunError as RunError
    from .evaluation.estimate import estimate as estimate
    from .evaluation.evaluate import Tolerance as Tolerance
    from .evaluation.evaluate import evaluate as evaluate
    from .inference.folder import predict_files as predict_files
    from .inference.predict import predict as predict
    from .io.writing import write_labels as write_labels
    from .learning_curve.forecast import forecast as forecast
    from .learning_curve.plan import pairs_of_datasets as pairs_of_datasets
    from .learning_curve.run import run_study as run_study
    from .measure.objects import measure as measure
    from .models.load import load_model as load_model
    from .models.model import Model as Model
    from .questions.can_learn import can_learn as can_learn
    from .questions.cross_validate import cross_validate as cross_validate
    from .questions.weigh import mixed_model as mixed_model
    from .questions.weigh import weigh as weigh
    from .report.write import report as report
    from .runs.request import CurveRequest as CurveRequest
    from .share.export import export_model as export_model
    from .suggest.suggestion import suggest as suggest
    from .training.finetune import finetune as finetune
    from .training.finetune import train as train

# Imported on first use: the command line and napari's menus must not wait for torch.
_NAMES_OF = {
    "checks.checkup": ("check",),
    "config": ("ExportConfig", "FinetuneConfig", "ModelConfig", "PredictConfig"),
    "data.annotated_image": ("AnnotatedImage",),
    "data.folders": ("open_folder",),
    "data.samples": ("make_microtube", "write_microtube"),
    "engine": ("Cluster",),
    "errors": ("DataError", "DeviceError", "FinetuneError", "ModelError", "RunError"),
    "evaluation.estimate": ("estimate",),
    "evaluation.evaluate": ("Tolerance", "evaluate"),
    "inference.folder": ("predict_files",),
    "inference.predict": ("predict",),
    "io.writing": ("write_labels",),
    "learning_curve.forecast": ("forecast",),
    "learning_curve.plan": ("pairs_of_datasets",),
    "learning_curve.run": ("run_study",),
    "measure.objects": ("measure",),
    "models.load": ("load_model",),
    "models.model": ("Model",),
    "questions.can_learn": ("can_learn",),
    "questions.cross_validate": ("cross_validate",),
    "questions.weigh": ("mixed_model", "weigh"),
    "report.write": ("report",),
    "runs.request": ("CurveRequest",),
    "share.export": ("export_model",),
    "suggest.suggestion": ("suggest",),
    "training.finetune": ("finetune", "train"),
}
_HOME = {name: module for module, names in _NAMES_OF.items() for name in names}
__all__ = sorted(_HOME)


class _Package(ModuleType):
    """The package; a room such as `measure`, once imported, does not take the place of the function of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


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
