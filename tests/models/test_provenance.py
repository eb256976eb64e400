from datetime import datetime, timedelta

import pytest
from pydantic import ValidationError

from napari_unet_finetune.models.provenance import Provenance, TrainingImage, installed_version, package_versions


def test_versions_name_python_and_the_packages_that_compute():
    versions = package_versions()
    assert {"python", "torch", "numpy", "scikit-image", "napari-unet-finetune"} <= versions.keys()
    assert versions["python"].startswith("3.")
    assert versions["torch"] == installed_version("torch")


def test_a_package_that_is_not_installed_has_an_unknown_version():
    assert installed_version("no-such-distribution") == "unknown"


def test_created_is_now_in_utc():
    created = datetime.fromisoformat(Provenance().created)
    assert created.utcoffset() == timedelta(0)
    assert abs(datetime.now(created.tzinfo) - created) < timedelta(minutes=1)


def test_provenance_survives_json():
    provenance = Provenance(
        name="lilac",
        images=(TrainingImage(name="img ü 1.tif", sha256="ab"),),
        config={"steps": 3, "augment": {"flips": True}},
        scores={"val_dice": 0.5, "base_dice": float("nan")},
        notes=("first", "second"),
    )
    again = Provenance.model_validate(provenance.model_dump(mode="json"))
    assert again.model_copy(update={"scores": {}}) == provenance.model_copy(update={"scores": {}})
    assert again.scores["val_dice"] == 0.5


def test_a_misspelt_field_is_refused():
    with pytest.raises(ValidationError, match="license"):
        Provenance(license="MIT")
