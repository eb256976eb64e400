"""Open all that the installed plugin offers napari: what its manifest names is there and can be made."""

from __future__ import annotations

import sys
from pathlib import Path

import napari
from npe2 import PluginManager

import napari_unet_finetune as nuf

PLUGIN = "napari-unet-finetune"


def main() -> int:
    """Return 0 if every widget and every sample of the manifest opens, and the package is the installed one."""
    if not Path(nuf.__file__).is_relative_to(sys.prefix):
        print(f"{nuf.__file__} is not the installed package.")
        return 1
    plugins = PluginManager.instance()
    plugins.discover()
    manifest = plugins.get_manifest(PLUGIN)
    manifest.validate_imports()
    viewer = napari.Viewer(show=False)
    for widget in manifest.contributions.widgets or []:
        _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, widget.display_name)
        print(f"{widget.display_name}: {type(dock).__name__}")
    for sample in manifest.contributions.sample_data or []:
        layers = viewer.open_sample(PLUGIN, sample.key)
        print(f"{sample.display_name}: {', '.join(layer.name for layer in layers)}")
    image = nuf.make_microtube(1, 1)[0]
    share = float((nuf.predict(nuf.load_model("microtube"), image, device="cpu").labels > 0).mean())
    print(f"microtube finds objects in {share:.1%} of {image.name}.")
    viewer.close()
    return 0 if 0 < share < 1 else 1


if __name__ == "__main__":
    sys.exit(main())
