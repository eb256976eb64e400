"""Build hook that keeps the manifest inside the package equal to the one at the top of the repository."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManifestHook(BuildHookInterface):
    """Replace the packaged manifest with a copy where git could not create its symlink."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Copy `napari.yaml` into the package unless its content is there already."""
        source = Path(self.root, "napari.yaml")
        packaged = Path(self.root, "src", "napari_unet_finetune", "napari.yaml")
        if not packaged.exists() or packaged.read_bytes() != source.read_bytes():
            packaged.unlink(missing_ok=True)
            shutil.copyfile(source, packaged)
