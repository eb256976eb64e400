"""Two windows have one dataset open: what each has painted and set is there in the end, and each learns of it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io.regions.region import Region
from napari_unet_finetune.project import shared_record
from napari_unet_finetune.project.image import RegionUse, strongest
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.project.shared_record import FolderGoneError

SIZE = (6, 8)
NAMES = tuple("abcdef")
# One window: 100 random actions, painting into rows of its own on top of what it shows; what it has done is printed.
WINDOW = """
import json, random, sys
from pathlib import Path
import numpy as np
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.project.project import Project

source, own, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
chance = random.Random(seed)
project, painted, roles, dice, value = Project.open(Path(source)), {}, {}, {}, 1000 * (seed + 1)
shown = {name: np.zeros((6, 8), np.uint16) for name in project.names}
for _ in range(100):
    name, action = chance.choice("abcdef"), chance.choice(["paint"] * 4 + ["role", "dice", "look", "remove", "sparse"])
    if action == "paint":
        value += 1
        shown[name][3 * (own == "abc"):][:3] = value
        project.save_labels(name, shown[name], "painted")
        painted[name] = value
    elif action == "role" and name in own:
        roles[name] = chance.choice(["train", "validation", "test", "unused"])
        project.set_role([name], roles[name])
    elif action == "dice" and name not in own:
        dice[name] = chance.random()
        project.set_dice({name: dice[name]})
    elif action == "look":
        for changed in project.catch_up().images:
            try:
                labels = project.read_labels(changed)
            except DataError:  # the other window has removed it since
                labels = None
            shown[changed] = np.zeros((6, 8), np.uint16) if labels is None else labels
    elif action == "remove":
        project.remove_labels(name)
        shown[name][:] = 0
    elif action == "sparse" and own == "abc":
        project.sparse = not project.sparse
print(json.dumps({"painted": painted, "roles": roles, "dice": dice, "sparse": project.sparse}))
"""


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in NAMES:
        tifffile.imwrite(folder / f"{name}.tif", np.zeros(SIZE, np.uint8))
    return folder


@pytest.fixture
def windows(source):
    Project.open(source).save_labels("a", filled(3), "painted")
    return Project.open(source), Project.open(source)


def filled(value):
    return np.full(SIZE, value, np.uint16)


def values_in(folder):
    return {
        int(value) for file in (folder / "unet-finetune").rglob("*.tif") for value in np.unique(tifffile.imread(file))
    }


def test_200_random_actions_of_two_processes_lose_nothing(source):
    def start(own, seed):
        command = [sys.executable, "-c", WINDOW, str(source), own, str(seed)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    processes = [start("abc", 1), start("def", 2)]
    first, second = (json.loads(process.communicate(timeout=120)[0]) for process in processes)
    assert {*first["painted"].values(), *second["painted"].values()} <= values_in(source)
    project = Project.open(source)
    assert project.unreadable == ()
    assert project.sparse == first["sparse"]
    for name, role in {**first["roles"], **second["roles"]}.items():
        assert project.image(name).role == role
    for name, dice in {**first["dice"], **second["dice"]}.items():
        assert project.image(name).dice == dice


def test_who_paints_last_is_seen_and_the_other_is_kept_aside_and_told(windows, source):
    one, other = windows
    one.save_labels("a", filled(11), "painted")
    saved = other.write_labels("a", filled(22), "painted")
    other.keep(saved)
    assert saved.aside is not None
    assert tifffile.imread(saved.aside).max() == 11
    assert one.write_labels("a", filled(12), "painted").aside is not None
    assert {11, 22, 12} <= values_in(source)
    assert one.write_labels("a", filled(13), "painted").aside is None  # nobody was there in between


def test_what_each_has_set_is_there(windows):
    one, other = windows
    one.set_role(["a", "b"], "test")
    one.save_labels("c", filled(5), "imported")
    other.set_dice({"a": 0.5})
    other.save_labels("d", filled(6), "painted")
    other.set_role(["b"], "train")  # both: who is last
    one.sparse = True
    other.set_suggested({"e": "why"})
    project = Project.open(one.source)
    roles = {image.name: image.role for image in project.images}
    assert roles == dict.fromkeys(NAMES, "auto") | {"a": "test", "b": "train"}
    assert (project.sparse, project.image("a").dice, project.image("e").suggested) == (True, 0.5, "why")
    assert [image.name for image in project.images if image.is_annotated] == ["a", "c", "d"]
    assert [project.image(name).origin for name in "acd"] == ["painted", "imported", "painted"]


@pytest.mark.parametrize("used", [("train", "validation"), ("validation", "train"), ("test", "validation")])
def test_what_images_and_regions_were_used_for_in_each_is_there(windows, used):
    regions = Region(0, 0, 3, 8), Region(3, 0, 6, 8)
    for window, use, region in zip(windows, used, regions, strict=True):
        window.set_used({"a": (RegionUse(region, use),), "b": use})
    project = Project.open(windows[0].source)
    assert set(project.image("a").region_uses) == set(map(RegionUse, regions, used))
    assert project.image("a").used_as == project.image("b").used_as == strongest(used)


def test_a_region_that_one_gives_up_to_test_with_stays_given_up_and_what_the_other_trained_on_stays(windows):
    one, other = windows
    tested, trained = Region(0, 0, 3, 8), Region(3, 0, 6, 8)
    one.set_used({"a": (RegionUse(tested, "test"),), "b": "test"})
    other.catch_up()
    one.set_role(["a", "b"], "auto")
    other.set_used({"a": (RegionUse(trained, "train"),)})
    project = Project.open(one.source)
    assert project.image("a").region_uses == (RegionUse(trained, "train"),)
    assert (project.image("a").used_as, project.image("b").used_as) == ("train", "")


def test_a_window_takes_over_what_the_other_has_done(windows):
    one, other = windows
    assert one.catch_up().images == ()
    other.save_labels("a", filled(9), "painted")
    other.set_role(["b"], "test")
    other.remove_labels("a")
    other.save_labels("c", filled(4), "painted")
    news = one.catch_up()
    assert (set(news.images), set(news.masks)) == ({"a", "b", "c"}, {"a", "c"})  # of b only the role
    assert one.catch_up().images == ()
    assert [image.name for image in one.images if image.is_annotated] == ["c"]
    assert one.image("b").role == "test"
    assert one.write_labels("c", filled(5), "painted").aside is None  # it was seen
    other.sparse = True
    assert set(one.catch_up().masks) == set(NAMES)
    assert one.sparse
    one.write_record()
    assert other.catch_up().images == ()


def test_an_image_with_unsaved_paint_is_not_taken_over(windows):
    one, other = windows
    other.save_labels("a", filled(9), "painted")
    assert one.catch_up(["a"]).images == ()
    saved = one.write_labels("a", filled(7), "painted")
    one.keep(saved)
    assert tifffile.imread(saved.aside).max() == 9
    assert Project.open(one.source).image("a").mask == saved.path


def test_a_killed_window_does_not_keep_others_from_saving(windows):
    lock = windows[0].folder / shared_record.LOCK
    code = f"import filelock, os; filelock.FileLock({str(lock)!r}).acquire(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    assert lock.exists()
    windows[1].save_labels("b", filled(1), "painted")


@pytest.mark.parametrize("is_new", [True, False])
def test_a_folder_that_is_gone_is_told_once_and_not_made_anew(source, is_new):
    project = Project.open(source)
    if not is_new:
        project.save_labels("a", filled(1), "painted")
    moved = source.rename(source.with_name("moved"))
    for act in (
        lambda: project.save_labels("b", filled(2), "painted"),
        lambda: project.set_role(["a"], "test"),
        lambda: project.catch_up() if not is_new else project.remove_labels("a"),
    ):
        with pytest.raises(FolderGoneError, match="gone"):
            act()
    assert not source.exists()
    moved.rename(source)
    project.save_labels("b", filled(2), "painted")
    assert Project.open(source).image("a").role == "test"


@pytest.mark.parametrize("fails", ["record", "move"])
def test_removing_a_mask_on_a_full_disk_leaves_all_as_it_was(windows, monkeypatch, fails):
    project = windows[0]

    def refuse(*_args, **_options):
        raise DataError("the disk is full")

    if fails == "record":
        monkeypatch.setattr(shared_record, "write_record", refuse)
    else:
        monkeypatch.setattr("napari_unet_finetune.project.project.put_aside", refuse)
    with pytest.raises(DataError, match="full"):
        project.remove_labels("a")
    monkeypatch.undo()
    for one in (project, Project.open(project.source)):
        assert one.image("a").is_annotated
        assert one.read_labels("a").max() == 3
    assert project.write_labels("a", filled(4), "painted").aside is None


def test_what_a_killed_window_left_half_written_is_swept_and_nothing_else(windows):
    project = windows[0]
    left = [folder / ".0123456789abcdef.partial" for folder in (project.folder, project.folder / "labels")]
    others = [project.folder / ".mine.partial", project.folder / "0123456789abcdef.partial"]
    for file in (*left, *others):
        file.touch()
    Project.open(project.source).set_role(["b"], "test")
    assert [file.exists() for file in (*left, *others)] == [False, False, True, True]
