"""Open one of this plugin's docks beside another one."""

from __future__ import annotations

from typing import Any

PLUGIN = "napari-unet-finetune"


def open_dock(viewer: Any, title: str) -> Any:
    """Show the dock called `title` in `viewer` and return its widget; one that is there already is raised."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, title, tabify=True)
    dock.show()
    dock.raise_()
    return widget
