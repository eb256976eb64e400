"""Open napari with the docks of this plugin and its sample data: what `make app` starts."""

from __future__ import annotations

import napari
from qtpy.QtCore import QTimer

PLUGIN = "napari-unet-finetune"
DOCKS = ("Annotate and finetune", "Compare models", "Predict")


def main() -> None:
    """Open the sample data, dock by dock, and hand over to the user."""
    viewer = napari.Viewer(title="U-Net Finetune", show_welcome_screen=False)
    viewer.open_sample(PLUGIN, "microtube_dataset2")
    for title in DOCKS:
        viewer.window.add_plugin_dock_widget(PLUGIN, title, tabify=True)
    dock, _ = viewer.window.add_plugin_dock_widget(PLUGIN, DOCKS[0])
    QTimer.singleShot(0, dock.raise_)  # tabs take their order once the window is drawn
    QTimer.singleShot(0, viewer.reset_view)
    napari.run()


if __name__ == "__main__":
    main()
