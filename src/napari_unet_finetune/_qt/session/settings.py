"""The plugin's preferences in napari: where to compute, and where to keep the runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from ...config import DeviceName

PLUGIN = "napari-unet-finetune"


def default_device() -> DeviceName:
    """Return the device that the user prefers."""
    preferred = getattr(_training(), "device", "auto")
    return next((name for name in get_args(DeviceName) if name == preferred), "auto")


def runs_folder() -> Path | None:
    """Return the folder in which the user wants all runs, or None for a folder in each dataset."""
    folder = str(getattr(_training(), "runs_folder", "")).strip()
    return Path(folder).expanduser() if folder else None


def _training() -> Any:
    """Return the preferences of trainings, or None outside napari or before the plugin is known to it."""
    from napari.settings import get_plugin_settings

    try:
        return getattr(get_plugin_settings(PLUGIN), "training", None)
    except (KeyError, ValueError):
        return None


def recent_models_file() -> Path | None:
    """Return where the models used lately are remembered; None if settings are not kept."""
    folder = _settings_folder()
    return folder and folder / f"{PLUGIN}-recent-models.json"


def _settings_folder() -> Path | None:
    """Return the folder of napari's own settings."""
    from napari.settings import get_settings

    settings = get_settings().config_path
    return None if settings is None else Path(settings).parent
