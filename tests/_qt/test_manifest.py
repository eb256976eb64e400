"""What napari reads of an installed copy."""

from pathlib import Path

import npe2

REPOSITORY = Path(__file__).parents[2]
DISTRIBUTION = "napari-unet-finetune"


def test_napari_finds_a_valid_manifest_by_its_entry_point():
    manifest = npe2.PluginManifest.from_distribution(DISTRIBUTION)
    assert manifest.name == DISTRIBUTION
    assert manifest.contributions.sample_data


def test_every_command_of_the_manifest_can_be_imported():
    npe2.PluginManifest.from_file(REPOSITORY / "napari.yaml").validate_imports()
