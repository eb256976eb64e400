"""A model has one name, made of its file alone, and no two models that stand together share one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.models.names import name_of_file, unique_names, when_of

RUN = "20261128-142900-fast-8-images"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("models/wbc-base.safetensors", "wbc-base"),
        ("nuclei-fluorescence", "nuclei-fluorescence"),
        (f"runs/{RUN}/model.safetensors", "8 images, 28 Nov 14:29"),
        (f"runs/{RUN}/best.safetensors", "8 images, 28 Nov 14:29"),
        (f"runs/{RUN}-2/model.safetensors", "8 images, 28 Nov 14:29 (2)"),
        ("runs/20261128-142900-from-scratch-1-images/model.safetensors", "1 image, 28 Nov 14:29"),
        ("runs/20261128-142900-finetune/model.safetensors", "finetune, 28 Nov 14:29"),
        ("runs/20269999-142900-fast-8-images/model.safetensors", "20269999-142900-fast-8-images"),
        ("my-cells/model.safetensors", "my-cells"),
        (
            "20261128-150000-learning-curve/runs/05-images-seed-1/model.safetensors",
            "5 images, seed 1, 28 Nov 15:00",
        ),
        ("cells/runs/01-images-seed-0/model.safetensors", "1 image, seed 0, cells"),
    ],
)
def test_a_model_is_called_after_its_file_or_what_its_run_made(file, name):
    assert name_of_file(file) == name


def test_a_run_says_when_it_began():
    assert when_of(Path(RUN)) == "28 Nov 14:29"
    assert when_of(Path("wbc")) == "wbc"


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (("/a/wbc.safetensors", "/b/wbc.safetensors"), ["wbc (a)", "wbc (b)"]),
        (("/a/x/wbc.safetensors", "/b/x/wbc.safetensors"), ["wbc (a)", "wbc (b)"]),
        (("/a/wbc.safetensors", "/a/wbc.pth"), ["wbc (wbc.safetensors)", "wbc (wbc.pth)"]),
        (("microtube", "/a/microtube.safetensors"), ["microtube (shipped)", "microtube (microtube.safetensors)"]),
        (("/a/one.pth", "/a/two.pth"), ["one", "two"]),
    ],
)
def test_models_of_one_name_are_told_apart_by_where_they_lie(files, names):
    assert list(unique_names(files).values()) == names


_PART = st.sampled_from(["a", "b", "wbc", "wbc (a)", "model", "runs", RUN, f"{RUN}-2", "05-images-seed-0"])
_FILES = st.lists(st.lists(_PART, min_size=1, max_size=5), min_size=1, max_size=8, unique_by=tuple)


@given(_FILES, st.randoms())
def test_names_are_unique_whatever_the_files_and_do_not_depend_on_their_order(paths, random):
    files = ["/" + "/".join(parts) + ".safetensors" for parts in paths]
    names = unique_names(files)
    assert len(set(names.values())) == len(files)
    random.shuffle(files)
    assert unique_names(files) == names
