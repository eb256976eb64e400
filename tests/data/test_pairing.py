"""Pairing: the mask that a person would pick, and none where a person would ask."""

import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_unet_finetune.data import pairing as module
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.data.pairing import Pair, core, pair_images
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io.images import ImageRef, list_images


def refs(names, folder="images"):
    return [ImageRef(Path(folder, name if "." in name else f"{name}.tif")) for name in names]


def stack(name, frames, folder="images"):
    return [ImageRef(Path(folder, f"{name}.tif"), frame) for frame in range(frames)]


def paired(images, masks):
    pairing = pair_images(refs(images), refs(masks, "masks"))
    return {pair.image.path.stem: pair.mask.path.stem for pair in pairing.pairs}


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["001", "002", "010"], ["001", "002", "010"]),
        (["img_007", "img_008"], ["img_007_mask", "img_008_mask"]),
        (["img_007", "img_008"], ["mask_007", "mask_008"]),
        (["image1", "image2", "image10"], ["Mask1", "Mask2", "Mask10"]),
        (["a_raw", "b_raw"], ["a_label", "b_label"]),
        (["007", "008"], ["007_seg", "008_gt"]),
        (["x-1", "x-2"], ["x-1_cp_masks", "x-2_cp_masks"]),
        (["Sample A", "Sample B"], ["sample_a_labels", "sample_b_labels"]),
        (["img_7", "img_8"], ["mask_007", "mask_008"]),
        (["t000", "t001"], ["man_seg000", "man_seg001"]),
        (["exp2_cell_01", "exp2_cell_02"], ["m01", "m02"]),
        (["cat", "dog"], ["dog_ground-truth", "cat_ground-truth"]),
        (["image"], ["mask"]),
        (["cells"], ["drawing"]),
        (["frame_a", "frame_b"], ["frame_a_one", "frame_b_two"]),
        (["expA_0", "expB_1"], ["expA_0_Simple Segmentation", "expB_1_Simple Segmentation"]),
        (["img_00", "img_01"], ["mask of img_00", "segmentation of img_01"]),
        (["A01_s1", "A01_s2"], ["A01_s1_LblImg", "A01_s2_LblImg"]),
        (["run_1", "run_1_b"], ["run_1_nuclei", "run_1_b_nuclei"]),
        (["ch1_cell_3_DAPI", "ch1_cell_4_DAPI"], ["cell_3", "cell_4"]),
        (["x_1", "x_2"], ["x_1_anno", "x_2_lbl"]),
        (["x_1", "x_2"], ["x_1_cp_masks", "x_2_GT"]),
        (["case_000_0000", "case_001_0000"], ["case_000", "case_001"]),
        (["A01_OrigBlue", "A02_OrigBlue"], ["A01_OrigBlue_NucleiObjects", "A02_OrigBlue_NucleiObjects"]),
        (["cellImage01", "cellImage02"], ["cellMask01", "cellMask02"]),
    ],
)
def test_names_that_belong_together_are_paired(images, masks):
    expected = dict(zip(images, sorted(masks) if images == ["cat", "dog"] else masks, strict=True))
    assert paired(images, masks) == expected


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["img_1"], ["img_10_mask"]),
        (["img_007"], ["img_0071"]),
        (["007"], ["0071_mask"]),
        (["img_1", "img_2"], ["mask_10", "mask_20"]),
        (["scan1_3"], ["scan1_4"]),
        (["a", "b", "c"], ["x", "y"]),
    ],
)
def test_names_that_do_not_fit_are_left_over(images, masks):
    pairing = pair_images(refs(images), refs(masks, "masks"))
    assert pairing.pairs == ()
    assert [one.ref.path.stem for one in pairing.images_without_mask] == images
    assert [one.ref.path.stem for one in pairing.masks_without_image] == masks


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["a"], ["a_mask", "a_label"]),
        (["a"], ["a.tif", "a.png"]),
        (["a"], ["a", "a_mask"]),
        (["img_007", "image_007"], ["mask_007"]),
        (["x_1", "y_1"], ["mask_1"]),
    ],
)
def test_what_fits_in_two_ways_is_left_over_with_the_reason(images, masks):
    pairing = pair_images(refs(images), refs(masks, "masks"))
    assert pairing.pairs == ()
    assert all("not clear" in one.reason for one in pairing.images_without_mask + pairing.masks_without_image)
    assert all(name in pairing.images_without_mask[0].reason for name in masks)


def test_one_ambiguous_image_does_not_spoil_the_others():
    pairing = pair_images(refs(["a", "b"]), refs(["a_mask", "a_label", "b_mask"], "masks"))
    assert [pair.image.name for pair in pairing.pairs] == ["b"]
    assert len(pairing.masks_without_image) == 2


def test_a_missing_mask_does_not_shift_the_others():
    pairing = pair_images(refs(["cat_1", "cat_2", "dog_2"]), refs(["cat_2_mask", "dog_1_mask"], "masks"))
    assert [(pair.image.name, pair.mask.name) for pair in pairing.pairs] == [("cat_2", "cat_2_mask")]
    assert [one.ref.name for one in pairing.images_without_mask] == ["cat_1", "dog_2"]
    assert [one.ref.name for one in pairing.masks_without_image] == ["dog_1_mask"]


@pytest.mark.parametrize(
    ("images", "masks", "reason"),
    [
        (["a"], ["a"], "same name"),
        (["a_1"], ["a_1_mask"], "same name but for the word for a mask"),
        (["image1"], ["Mask1"], "same name but for words like image and mask"),
        (["t1"], ["m1"], "same number"),
        (["cells"], ["drawing"], "natural order, names differ"),
    ],
)
def test_each_pair_has_its_reason(images, masks, reason):
    (pair,) = pair_images(refs(images), refs(masks, "masks")).pairs
    assert pair.reason == reason


def test_order_never_contradicts_names():
    images, masks = ["ctrl_a", "ctrl_b", "drug_a", "drug_b"], ["ctrl_a_nu", "ctrl_b_nu", "drug_b_nu", "wash_a_nu"]
    assert paired(images, masks) == {"ctrl_a": "ctrl_a_nu", "ctrl_b": "ctrl_b_nu", "drug_b": "drug_b_nu"}
    assert not paired(["frame_a", "frame_b"], ["one", "two"])
    assert not paired(["a", "b"], ["x", "y"])


def test_two_masks_that_contain_a_name_are_left_over():
    pairing = pair_images(refs(["x_1", "x_2"]), refs(["x_1_nuclei", "x_1_cells", "x_2_nuclei"], "masks"))
    assert [pair.name for pair in pairing.pairs] == ["x_2"]
    assert "x_1_cells.tif" in pairing.images_without_mask[0].reason


def test_channels_in_files_of_their_own_are_named():
    images = refs(["case_0_0000", "case_0_0001", "case_1_0000", "case_1_0001"])
    pairing = pair_images(images, refs(["case_0", "case_1"], "masks"))
    assert not pairing.pairs
    assert all("nnU-Net" in left.reason for left in (*pairing.images_without_mask, *pairing.masks_without_image))


@pytest.mark.parametrize(("numbers", "first"), [((0, 2), 0), ((1, 3, 4), 1), ((4,), 1), ((1, 2), None), ((0, 4), None)])
@pytest.mark.parametrize("called", ["movie_t{:03d}_mask", "mask_movie-{}", "movie[{:03d}]"])
def test_masks_of_some_frames_pair_by_number_if_it_is_clear_how_they_count(numbers, first, called):
    pairing = pair_images(stack("movie", 4), refs([called.format(number) for number in numbers], "masks"))
    assert [pair.image.frame for pair in pairing.pairs] == ([] if first is None else [n - first for n in numbers])
    if first is None:
        assert "frame 0" in pairing.masks_without_image[0].reason


def test_files_of_one_name_are_image_and_mask_if_one_kind_holds_few_values(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 255, (20, 30), dtype=np.uint8)).save(tmp_path / f"{number:03d}.bmp")
        Image.fromarray(rng.choice([0, 128, 255], (20, 30)).astype(np.uint8)).save(tmp_path / f"{number:03d}.png")
    found = list_images(tmp_path)
    pairing = pair_images(found, found)
    assert [(pair.image.path.suffix, pair.mask.path.suffix) for pair in pairing.pairs] == [(".bmp", ".png")] * 4
    assert "few values" in pairing.pairs[0].reason
    with pytest.raises(DataError, match="masks lie among"):
        open_folder(tmp_path)


def test_two_stacks_pair_by_frame():
    pairing = pair_images(stack("movie", 12), stack("movie_mask", 12, "masks"))
    assert [(pair.image.frame, pair.mask.frame) for pair in pairing.pairs] == [(i, i) for i in range(12)]
    assert pairing.pairs[0].reason.endswith("same frame")


@pytest.mark.parametrize("masks", [refs(["movie_mask"], "masks"), stack("movie_mask", 11, "masks")])
def test_a_stack_does_not_pair_with_another_number_of_masks(masks):
    pairing = pair_images(stack("movie", 12), masks)
    assert pairing.pairs == ()
    assert "holds 12 images" in pairing.images_without_mask[0].reason


def test_a_stack_pairs_in_order_with_as_many_single_masks_but_not_with_fewer():
    masks = refs([f"m_{i}" for i in range(12)], "masks")
    pairing = pair_images(stack("movie", 12), masks)
    assert [(pair.image.frame, pair.mask.name) for pair in pairing.pairs] == [(i, f"m_{i}") for i in range(12)]
    assert pair_images(stack("movie", 12), masks[:11]).pairs == ()


def test_images_and_masks_of_one_folder_are_told_apart_by_name():
    both = refs(["a", "a_masks", "b", "b_masks"])
    pairing = pair_images(both, both)
    assert [(pair.image.name, pair.mask.name) for pair in pairing.pairs] == [("a", "a_masks"), ("b", "b_masks")]
    assert pairing.images_without_mask == pairing.masks_without_image == ()


@pytest.mark.parametrize("name", ["ROI", "target", "Ground", "CP1", "man", "label_mask"])
def test_a_word_for_a_mask_that_is_in_every_name_of_a_folder_says_nothing(name):
    both = refs([f"{name}_{number}{end}" for number in range(3) for end in ("", "_seg")])
    pairing = pair_images(both, both)
    assert [(pair.image.name, pair.mask.name) for pair in pairing.pairs] == [
        (f"{name}_{number}", f"{name}_{number}_seg") for number in range(3)
    ]


def test_accents_of_macos_are_those_of_other_systems():
    apart = "Zelle_a\N{COMBINING DIAERESIS}"
    pairing = pair_images(refs([f"{apart}_1", f"{apart}_2"]), refs(["Zelle_ä_1", "Zelle_ä_2"], "masks"))
    assert [(pair.image.name, pair.reason) for pair in pairing.pairs] == [
        ("Zelle_ä_1", "same name"),
        ("Zelle_ä_2", "same name"),
    ]


MANY = {
    "equal": (lambda n: refs([f"cell_{n}"]), lambda n: refs([f"cell_{n}"], "masks"), True),
    "words around it": (lambda n: refs([f"a_{n}"]), lambda n: refs([f"our a_{n} nuclei"], "masks"), True),
    "frames": (lambda n: stack(f"a_{n}", 2), lambda n: refs([f"a_{n}_t1", f"a_{n}_t2"], "masks"), True),
    "two names of masks": (lambda n: refs([f"a_{n}"]), lambda n: refs([f"a_{n}", f"a_{n}_mask"], "masks"), False),
    "two words": (lambda n: refs([f"a_{n}"]), lambda n: refs([f"a_{n}_one", f"a_{n}_two"], "masks"), False),
    "one for all": (lambda n: refs([f"cells_{n}"]), lambda n: refs(["cells"] if n == 0 else [], "masks"), False),
    "channels": (lambda n: refs([f"cells_{n:04d}"]), lambda n: refs(["cells"] if n == 0 else [], "masks"), False),
    "all for one": (lambda n: refs(["cells"] if n == 0 else []), lambda n: refs([f"cells_{n}"], "masks"), False),
    "a stray mask": (
        lambda n: refs([f"cells_{n}"]),
        lambda n: refs([f"cells_{n}_one", *["cells"] * (n == 0)], "masks"),
        False,
    ),
}


@pytest.mark.parametrize("kind", MANY)
def test_thousands_of_files_are_paired_at_once(kind):
    image, mask, is_paired = MANY[kind]
    images, masks = ([ref for n in range(4000) for ref in make(n)] for make in (image, mask))
    start = time.process_time()
    pairing = pair_images(images, masks)
    assert time.process_time() - start < 5
    assert len(pairing.pairs) == (len(images) if is_paired else 0)
    assert all(len(one.reason) < 400 for one in pairing.images_without_mask + pairing.masks_without_image)


class Plain(module._Matching):
    """Looks at each image and each mask together."""

    def by_frame(self):
        for image in [file for file in self.images if len(file.refs) > 1]:
            numbered = [(mask, plain_frame(core(image.stem), core(mask.stem))) for mask in self.masks]
            masks = [mask for mask, number in numbered if number is not None and len(mask.refs) == 1]
            found = {number: mask for mask, number in numbered if mask in masks}
            first = module._first_number(found, len(image.refs)) if found else None
            if first is None or len(found) < len(masks):
                self._refuse("not clear", [image, *masks] if masks else [])
                continue
            self.of_frames += [Pair(image.refs[n - first], found[n].refs[0], f"from {first}") for n in found]
            self.images.remove(image)
            self.masks = [mask for mask in self.masks if mask not in masks]
        self._forget_settled()

    def by_part(self):
        pairs = [(i, m) for i in self.images for m in self.masks if self.belong(i, m) or self.belong(m, i)]
        for image, mask in pairs:
            of_mask, of_image = [i for i, m in pairs if m is mask], [m for i, m in pairs if i is image]
            if len(of_mask) == len(of_image) == 1:
                self.matches.append((image, mask, "the name of one contains that of the other"))
            else:
                self._refuse_ambiguous(of_mask, of_image)
        self._forget_settled()

    def belong(self, inner, outer):
        """Tell whether a name is part of another, and no longer one of its side that contains it is."""
        rivals = self.images if inner in self.images else self.masks
        for key in (module._tokens, core):
            part, whole = key(inner.stem), key(outer.stem)
            others = [key(one.stem) for one in rivals if says_something(one, key)]
            longer = any(is_inside(part, one) and is_inside(one, whole) for one in others)
            if says_something(inner, key) and is_inside(part, whole) and not longer:
                return True
        return False


def says_something(file, key):
    return bool(core(file.stem)) and any(isinstance(part, str) for part in key(file.stem))


def is_inside(part, whole):
    return len(part) < len(whole) and any(part == whole[at : at + len(part)] for at in range(len(whole)))


def plain_frame(part, whole):
    at = next((at for at in range(len(whole)) if part and whole[at : at + len(part)] == part), None)
    rest = [] if at is None else [one for one in whole[:at] + whole[at + len(part) :] if isinstance(one, int)]
    return rest[0] if len(rest) == 1 else None


WORDS = ["a", "b", "mov", "img", "mask", "1", "2", "02"]
NAMES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map("_".join)


@settings(max_examples=300)
@given(st.dictionaries(NAMES, st.integers(1, 3), max_size=6), st.dictionaries(NAMES, st.integers(1, 2), max_size=6))
def test_pairs_are_those_that_are_found_by_looking_at_each_image_with_each_mask(images, masks):
    given_refs = [
        [ref for name, frames in files.items() for ref in (stack(name, frames, to) if frames > 1 else refs([name], to))]
        for files, to in ((images, "images"), (masks, "masks"))
    ]
    found = pair_images(*given_refs)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_Matching", Plain)
        plain = pair_images(*given_refs)
    assert [(pair.image, pair.mask) for pair in found.pairs] == [(pair.image, pair.mask) for pair in plain.pairs]
    for one, other in zip(left_over(found), left_over(plain), strict=True):
        assert one.ref == other.ref
        assert one.reason.startswith("no ") == other.reason.startswith("no ")


def left_over(pairing):
    return pairing.images_without_mask + pairing.masks_without_image


def test_an_image_is_never_its_own_mask():
    both = refs(["a", "b"])
    assert pair_images(both, both).pairs == ()


@given(st.sets(st.integers(0, 3000), min_size=1, max_size=30), st.sets(st.integers(0, 3000), max_size=30), st.randoms())
def test_numbered_names_pair_exactly_where_the_numbers_are_equal(with_image, with_mask, shuffle: random.Random):
    masks = refs([f"cell_{number:04d}_seg" for number in with_mask], "masks")
    shuffle.shuffle(masks)
    pairing = pair_images(refs([f"cell_{number:04d}" for number in with_image]), masks)
    assert {int(pair.image.name[5:9]) for pair in pairing.pairs} == with_image & with_mask
    assert all(pair.mask.name == f"{pair.image.name}_seg" for pair in pairing.pairs)
    assert len(pairing.pairs) + len(pairing.images_without_mask) == len(with_image)
    assert len(pairing.pairs) + len(pairing.masks_without_image) == len(with_mask)
