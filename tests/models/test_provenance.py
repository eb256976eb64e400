from datetime import datetime, timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.io.regions import region as regions
from napari_unet_finetune.io.regions.region import Region
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


RNG = np.random.default_rng(0)
WHOLE = RNG.integers(0, 255, (600, 800), dtype=np.uint8)
OTHER = RNG.integers(0, 255, (600, 800), dtype=np.uint8)


def part(region: Region, whole: np.ndarray = WHOLE, name: str = "slide") -> AnnotatedImage:
    """Return a region of an image that is in memory, with a mask."""
    pixels = whole[(..., *region.slices)]
    labels = np.ones(region.shape, np.uint8)
    return AnnotatedImage(f"{name}{region}", pixels, labels, part_of=AnnotatedImage(name, whole), region=region)


TRAINED, HELD_OUT = Region(64, 64, 192, 192), Region(320, 64, 448, 256)
SEEN = TrainingImage.of(part(TRAINED)), TrainingImage.of(part(HELD_OUT))
MODEL = Provenance(images=SEEN, held_out=(SEEN[1].name,))


@pytest.mark.parametrize(
    ("image", "use"),
    [
        (part(TRAINED), "train"),
        (part(Region(64, 0, 256, 192)), "train"),  # one more stroke has moved its edges
        (part(TRAINED, WHOLE[None].repeat(3, 0)), "train"),  # gray as RGB
        (part(HELD_OUT.grown(64, WHOLE.shape)), "validation"),
        (part(TRAINED.around(HELD_OUT)), "train"),
        (part(Region(0, 448, 128, 576)), ""),
        (part(Region(192, 192, 256, 256)), ""),  # side by side
        (part(TRAINED, OTHER), ""),
        (part(TRAINED, WHOLE.astype(np.uint16)), ""),
        (AnnotatedImage("small", WHOLE[:128, :128]), ""),
    ],
)
def test_a_region_is_known_by_its_place_however_its_edges_have_moved(image: AnnotatedImage, use: str) -> None:
    assert MODEL.use_of(TrainingImage.of(image)) == use


def test_a_region_is_known_where_the_whole_is_large_and_the_other_way_round(monkeypatch) -> None:
    monkeypatch.setattr(regions, "LARGE_PX", 1000)
    whole, region = TrainingImage.of(AnnotatedImage("whole", WHOLE)), TrainingImage.of(part(HELD_OUT))
    assert Provenance(images=(region,), held_out=()).use_of(whole) == "train"
    assert Provenance(images=(whole,), held_out=()).use_of(region) == "train"
    assert not Provenance(images=(whole,)).knows(TrainingImage.of(part(HELD_OUT, OTHER)))


def test_places_survive_json_and_only_regions_have_one() -> None:
    small = TrainingImage.of(AnnotatedImage("small", WHOLE[:100, :100]))
    written = Provenance(images=(*SEEN, small)).model_dump(mode="json")
    assert Provenance.model_validate(written).images == (*SEEN, small)
    assert ["place" in one for one in written["images"]] == [True, True, False]
