"""Whatever is painted, switched, imported and reopened in whatever order: no pixel changes its meaning or is lost."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.data.masks import BACKGROUND, STROKES, Meaning
from napari_unet_finetune.data.painted import holds_strokes
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.measure.files import measure_files, pair_files
from napari_unet_finetune.project.mask_import import import_masks, plan_import
from napari_unet_finetune.project.project import Project

SIZE = (4, 5)
NAMES = ("a", "b")
PAINT = arrays(np.uint16, SIZE, elements=st.sampled_from([0, 0, 1, 2, 7, 255, 65535, BACKGROUND, BACKGROUND]))
# What files of the first version may hold: whole masks with objects of any number, and strokes.
WHOLE = arrays(np.uint16, SIZE, elements=st.sampled_from([0, 0, 1, 2, 255, BACKGROUND, 65535]))
FIRST_STROKES = arrays(np.uint16, SIZE, elements=st.sampled_from([0, 1, 2]))


def meanings(labels):
    """Return for every pixel 0 for unpainted, 1 for background, 2 for object."""
    return np.where(labels == 0, 0, np.where(labels == BACKGROUND, 1, 2))


def write_images(folder):
    for name in NAMES:
        tifffile.imwrite(folder / f"{name}.tif", np.zeros(SIZE, np.uint8))


def write_first_version(source, *, sparse, **folders):
    """Write a dataset as the first version did: its record does not say which version it is."""
    folder = source / "unet-finetune"
    for place, masks in folders.items():
        (folder / place).mkdir(parents=True)
        for name, labels in zip(NAMES, masks, strict=True):
            tifffile.imwrite(folder / place / f"{name}.tif", labels.astype(np.uint16))
    known = [{"file": f"{name}.tif", "name": name, "mask": f"{name}.tif", "origin": "painted"} for name in NAMES]
    (folder / "project.json").write_text(json.dumps({"source": "..", "images": known, "sparse": sparse}))


class Dataset(RuleBasedStateMachine):
    """A dataset, and beside it what each pixel of each image means."""

    @initialize(
        start=st.sampled_from(["new", "whole", "strokes"]), whole=st.tuples(WHOLE, WHOLE),
        strokes=st.tuples(FIRST_STROKES, FIRST_STROKES), was_converted=st.booleans(), has_labels=st.booleans(),
    )  # fmt: skip
    def begin(self, start, whole, strokes, was_converted, has_labels):
        self.source = Path(tempfile.mkdtemp())
        write_images(self.source)
        self.sparse = start == "strokes"
        self.meant: dict[str, np.ndarray] = {}
        self.shown: dict[str, np.ndarray] = {}
        twins = [np.where(one > 0, 2, other.clip(max=1)) for one, other in zip(whole, strokes, strict=True)]
        if start == "whole":
            self.meant = {name: np.where(one > 0, 2, 0) for name, one in zip(NAMES, whole, strict=True)}
            if was_converted:
                self.meant = dict(zip(NAMES, twins, strict=True))
            write_first_version(self.source, sparse=False, masks=whole, **({"strokes": twins} if was_converted else {}))
        if start == "strokes":
            strokes = twins if was_converted else strokes
            self.meant = dict(zip(NAMES, strokes, strict=True))
            write_first_version(
                self.source, sparse=True, strokes=strokes, **({"masks": whole} if was_converted else {})
            )
        if start != "new" and has_labels:  # a folder of the user's own
            (self.source / "unet-finetune" / "labels").mkdir()
            tifffile.imwrite(self.source / "unet-finetune" / "labels" / "a.tif", np.ones(SIZE, np.uint8))
        self.whole = dict(zip(NAMES, whole, strict=True)) if was_converted or start == "whole" else {}
        self.project = Project.open(self.source)
        self.old_files = {path: path.read_bytes() for path in self.project.folder.rglob("*.tif")}

    def teardown(self):
        if hasattr(self, "source"):
            shutil.rmtree(self.source)

    @rule(name=st.sampled_from(NAMES), paint=PAINT)
    def paint_anew(self, name, paint):
        self.project.save_labels(name, paint, "painted")
        self._mean(name, meanings(paint))

    @rule(name=st.sampled_from(NAMES), paint=PAINT)
    def paint_more(self, name, paint):
        shown = self.project.read_labels(name)
        shown = np.zeros(SIZE, np.uint16) if shown is None else shown
        labels = np.where(paint > 0, paint, shown).astype(np.uint16)
        self.project.save_labels(name, labels, "painted")
        before = self.meant.get(name, np.zeros(SIZE, int))
        self._mean(name, np.where(paint > 0, meanings(paint), before))

    @rule(name=st.sampled_from(NAMES), paint=PAINT)
    def crash_before_the_record_is_written(self, name, paint):
        self.project.write_labels(name, paint, "painted")
        self._mean(name, meanings(paint))
        self.reopen()

    @rule()
    def switch(self):
        self.sparse = not self.sparse
        self.project.sparse = self.sparse

    @rule()
    def reopen(self):
        self.project = Project.open(self.source)

    @precondition(lambda self: self.meant)
    @rule(data=st.data(), gone=st.booleans())
    def be_unreadable_for_a_moment(self, data, gone):
        image = self.project.image(data.draw(st.sampled_from(sorted(self.meant))))
        is_first = "version" not in json.loads((self.project.folder / "project.json").read_bytes())
        file = image.numbered if is_first and not self.sparse and image.numbered else image.mask
        aside = file.rename(file.with_suffix(".aside"))
        if not gone:
            file.touch()
        project = Project.open(self.source)
        project.set_dice(dict.fromkeys(NAMES, 0.5))
        aside.replace(file)
        self.reopen()

    @rule(name=st.sampled_from(NAMES), paint=PAINT, sparse=st.booleans())
    def import_from_another_dataset(self, name, paint, sparse):
        if self.project.image(name).origin in ("painted", "corrected"):
            return
        with tempfile.TemporaryDirectory() as folder:
            write_images(Path(folder))
            other = Project.open(Path(folder))
            other.save_labels(name, paint, "painted")
            other.sparse = sparse
            done = import_masks(self.project, plan_import(self.project, other.folder / "labels").pairs)
        if sparse and not self.sparse and not paint.all():
            assert done.names == ()
            return
        painted = np.where(paint == 0, BACKGROUND, paint) if self.sparse and not sparse else paint
        self._mean(name, meanings(painted))

    @precondition(lambda self: self.meant)
    @rule(data=st.data(), back=st.booleans())
    def remove(self, data, back):
        name = data.draw(st.sampled_from(sorted(self.meant)))
        origin = self.project.image(name).origin
        aside = self.project.remove_labels(name)
        if back:
            self.project.restore_labels(name, aside, origin)
        else:
            del self.meant[name]
            self.shown.pop(name, None)

    def _mean(self, name, meant):
        self.meant[name] = meant
        self.shown.pop(name, None)
        self.whole.pop(name, None)

    @invariant()
    def all_pixels_mean_what_they_meant(self):
        assert self.project.sparse == self.sparse
        assert {image.name for image in self.project.images if image.is_annotated} == set(self.meant)
        for name, meant in self.meant.items():
            labels = self.project.read_labels(name)
            np.testing.assert_array_equal(meanings(labels), meant)
            np.testing.assert_array_equal(labels, self.shown.setdefault(name, labels))  # numbers of objects too
            annotated, image = self.project.annotated_image(name), self.project.image(name)
            known = np.ones(SIZE, bool) if annotated.annotated is None else annotated.annotated
            np.testing.assert_array_equal(known, meant > 0 if self.sparse else True)
            np.testing.assert_array_equal(annotated.target, meant == 2)
            assert image.foreground == (annotated.target[known].mean() if known.any() else 0)
            assert (image.object_px, image.background_px) == ((meant == 2).sum(), (meant == 1).sum())

    @invariant()
    def whole_masks_of_the_first_version_keep_their_numbers(self):
        for name, whole in self.whole.items():
            if name in self.meant and not self.sparse:
                numbers = self.project.annotated_image(name).labels
                assert len(np.unique(numbers)) == len(np.unique(whole))

    @invariant()
    def files_that_were_there_are_never_written_again(self):
        for path, content in self.old_files.items():
            if path.is_file():
                assert path.read_bytes() == content

    @invariant()
    def the_command_line_reads_the_same_from_whichever_folder(self):
        places = {image.mask.parent for image in self.project.images if image.is_annotated}
        for folder in places if (self.project.folder / "project.json").is_file() else ():
            for image in open_folder(self.source, folder):
                np.testing.assert_array_equal(image.target, self.meant[image.name] == 2)
                known = np.ones(SIZE, bool) if image.annotated is None else image.annotated
                np.testing.assert_array_equal(known, self.meant[image.name] > 0 if self.sparse else True)


TestDataset = Dataset.TestCase
TestDataset.settings = settings(
    max_examples=25,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=set(Phase) - {Phase.shrink},  # which takes minutes, for all of it is on a disk
)


@pytest.fixture
def painted(tmp_path):
    """Return a dataset with an object and background in each of two images, and what they are."""
    write_images(tmp_path)
    project = Project.open(tmp_path)
    labels = np.zeros(SIZE, np.uint16)
    labels[0], labels[1] = 3, BACKGROUND
    for name in NAMES:
        project.save_labels(name, labels, "painted")
    return project, labels


def test_masks_are_known_wherever_a_path_leads_to_them(painted, tmp_path):
    project, labels = painted
    project.remove_labels("b")
    link = tmp_path / "link"
    link.symlink_to(project.folder / "labels", target_is_directory=True)
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.tif").symlink_to(project.folder / "labels" / "a.tif")
    os.chdir(project.folder / "labels")
    for folder in (link, files, Path(), project.folder / "labels" / "a.tif"):
        np.testing.assert_array_equal(open_folder(project.source / "a.tif", folder)[0].target, labels == 3)
    (removed,) = (project.folder / "labels" / "removed").iterdir()
    np.testing.assert_array_equal(open_folder(project.source / "b.tif", removed)[0].target, labels == 3)


def test_without_the_record_the_value_of_background_strokes_is_refused(painted, tmp_path):
    project, _ = painted
    copy = shutil.copytree(project.folder / "labels", tmp_path / "copy")
    for sparse in (False, True):
        with pytest.raises(DataError, match=str(BACKGROUND)):
            open_folder(project.source, copy, sparse=sparse)[0]
    counted = np.arange(BACKGROUND - 2, BACKGROUND + 3, dtype=np.uint16)
    tifffile.imwrite(copy / "a.tif", np.tile(counted, (4, 1)))  # objects that were counted so far
    assert len(np.unique(open_folder(project.source, copy)[0].labels)) == 5


def test_objects_are_measured_without_strokes_of_background(painted, tmp_path):
    project, _ = painted
    pairs, _ = pair_files(project.source, project.folder / "labels")
    events = list(measure_files(pairs, tmp_path / "table.csv"))
    assert [event.error for event in events] == [None, None]
    assert (tmp_path / "table.csv").read_text().count("\n") == 3  # a header, and one object of each image


def test_whoever_asks_for_masks_of_the_first_version_gets_those_painted_since(tmp_path):
    write_images(tmp_path)
    old = np.zeros(SIZE, np.uint16)
    old[0] = 1
    write_first_version(tmp_path, sparse=False, masks=(old, old))
    project = Project.open(tmp_path)
    project.save_labels("a", old * 0 + 1, "painted")
    for folder in ("masks", "labels"):
        shares = {image.name: image.foreground for image in open_folder(tmp_path, project.folder / folder)}
        assert shares == {"a": 1, "b": 0.25}


def test_the_record_tells_that_masks_are_strokes(painted):
    project, _ = painted
    folder = project.folder / "labels"
    assert not holds_strokes(folder, sparse=False)
    assert holds_strokes(folder, sparse=True)
    project.sparse = True
    assert holds_strokes(folder, sparse=False)
    assert open_folder(project.source, folder)[0].annotated is not None


def test_strokes_of_earlier_requests_have_background_of_1():
    assert Meaning(**json.loads('{"sparse": true}')) == STROKES


def test_strokes_that_were_away_when_the_dataset_was_first_opened_are_found_again(tmp_path):
    write_images(tmp_path)
    strokes = np.ones(SIZE, np.uint16)
    strokes[0] = 2
    whole = np.where(strokes > 1, 7, 0).astype(np.uint16)
    write_first_version(tmp_path, sparse=False, masks=(whole, whole), strokes=(strokes, strokes))
    folder = tmp_path / "unet-finetune"
    aside = (folder / "strokes").rename(folder / "elsewhere")
    Project.open(tmp_path).set_dice({"a": 0.5})
    aside.rename(folder / "strokes")
    project = Project.open(tmp_path)
    for name in NAMES:
        np.testing.assert_array_equal(meanings(project.read_labels(name)), strokes)
