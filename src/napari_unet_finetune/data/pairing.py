"""Find which mask belongs to which image, say why, and name what is left over."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from ..io.images import ImageRef
from ..io.regions.region import Region
from ..text import first_of
from .masks import WHOLE, Meaning
from .same_stem import hold_areas, masks_by_suffix

# fmt: off
MASK_WORDS = frozenset(
    {
        "mask", "masks", "label", "labels", "labeled", "labelled", "seg", "segs", "segm", "segmented", "segmentation",
        "segmentations", "gt", "ground", "truth", "groundtruth", "annotation", "annotations", "annotated", "annot",
        "ann", "manual", "man", "target", "targets", "cp", "stroke", "strokes", "scribble", "scribbles", "roi", "rois",
        "instance", "instances", "binary", "anno", "annos", "lbl", "lbls", "labeling", "labelling", "labelmap",
    }
)
IMAGE_WORDS = frozenset(
    {
        "img", "imgs", "image", "images", "im", "raw", "orig", "original", "input", "photo", "picture", "pic",
    }
)
# fmt: on

Core = tuple[str | int, ...]
Refs = Sequence[ImageRef]


def words_and_numbers(stem: str) -> tuple[str, ...]:
    """Return the words, in small letters, and numbers of a name: ``cellMask_007`` gives ``cell mask 007``."""
    separated = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", stem)
    return tuple(re.findall(r"\d+|[^\W\d_]+", separated.casefold()))


def name_masks(stems: Sequence[str]) -> list[bool]:
    """Tell of each name whether it says that it is a mask; a word such as ROI that is in all of them says nothing."""
    found = [MASK_WORDS.intersection(words_and_numbers(stem)) for stem in stems]
    in_all = frozenset.intersection(*found) if found else frozenset()
    return [words != in_all for words in found]


def without_mask_words(stem: str) -> tuple[str, ...]:
    """Return the words and numbers of a mask's name that are left without words like mask or label."""
    return tuple(part for part in words_and_numbers(stem) if part not in MASK_WORDS)


def core(stem: str) -> Core:
    """Return what is left without words like image or mask; numbers count by value, so 7 is 007."""
    parts = (part for part in without_mask_words(stem) if part not in IMAGE_WORDS)
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def numbers(stem: str) -> tuple[int, ...]:
    """Return all numbers of a name."""
    return tuple(part for part in core(stem) if isinstance(part, int))


def varying_numbers(stems: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the numbers of each name without those that are the same in all, such as that of the experiment."""
    found = [numbers(stem) for stem in stems]
    if len({len(one) for one in found}) != 1 or len(found) == 1:
        return found
    varying = [place for place, column in enumerate(zip(*found, strict=True)) if len(set(column)) > 1]
    return [tuple(one[place] for place in varying) for one in found] if varying else found


def words_vary(stems: Sequence[str]) -> bool:
    """Tell whether the names differ in more than numbers and words like image or mask."""
    return len({tuple(part for part in core(stem) if isinstance(part, str)) for stem in stems}) > 1


BY_ORDER = "natural order, names differ"
_MOST_CHANNELS = 4  # in a file that does not say whether it holds frames or channels


@dataclass(frozen=True)
class Pair:
    """An image, its mask, why they belong together, and what the mask means.

    `made_by` names the model whose prediction the mask is, accepted as it was; empty if that is not known, ``None``
    for any other mask. With a `region`, only that of the two is read.
    """

    image: ImageRef
    mask: ImageRef
    reason: str = "given"
    meaning: Meaning = WHOLE
    made_by: str | None = None
    region: Region | None = None

    @property
    def name(self) -> str:
        """How messages and tables call the image; a region of it by the row and column of its first pixel."""
        return f"{self.image.name}{self.region.mark if self.region else ''}"


@dataclass(frozen=True)
class FilePair:
    """A file of images and the labels file that was made of it."""

    image: Path
    labels: Path


class NoPair(StrEnum):
    """Reasons for which an image is in no pair and by which something is decided; others are only shown."""

    NO_MASK = "no mask has a matching name"
    UNSEEN = "its mask is a prediction that nobody has looked at"
    NOT_ANNOTATED = "nothing is annotated"


@dataclass(frozen=True)
class LeftOver:
    """An image or a mask without partner, and why."""

    ref: ImageRef
    reason: NoPair | str


RECORDED = "painted on this image"
OF_ANOTHER = "its mask was painted on another image"


@dataclass(frozen=True)
class Pairing:
    """Pairs in the order of the images, and what is left over on both sides."""

    pairs: tuple[Pair, ...]
    images_without_mask: tuple[LeftOver, ...] = ()
    masks_without_image: tuple[LeftOver, ...] = ()

    def read_as(self, meaning: Callable[[Path], Meaning]) -> Pairing:
        """Return the same with what `meaning` says of each mask file."""
        return replace(self, pairs=tuple(replace(pair, meaning=meaning(pair.mask.path)) for pair in self.pairs))

    def made_by(self, makers: Mapping[str, str]) -> Pairing:
        """Return the same with the models that have made the masks in files of these names."""
        pairs = (replace(pair, made_by=makers.get(pair.mask.path.name)) for pair in self.pairs)
        return replace(self, pairs=tuple(pairs))

    def as_recorded(self, recorded: Mapping[ImageRef, tuple[str, ImageRef]], images: Sequence[ImageRef]) -> Pairing:
        """Return the same with the pairs that a record knows: of some of the `images`, their names and their masks."""
        taken = {mask for _, mask in recorded.values()}
        pairs = {pair.image: pair for pair in self.pairs if pair.mask not in taken}
        for image, (name, mask) in recorded.items():
            ref = replace(image, called="" if name == image.file_name else name)
            found = pairs.get(image)
            reason = found.reason if found is not None and found.mask == mask else RECORDED
            pairs[image] = Pair(ref, mask, reason)
        left = {one.ref: one for one in self.images_without_mask}
        left |= {pair.image: LeftOver(pair.image, OF_ANOTHER) for pair in self.pairs if pair.image not in pairs}
        return replace(
            self,
            pairs=tuple(pairs[image] for image in images if image in pairs),
            images_without_mask=tuple(left[image] for image in images if image in left and image not in pairs),
            masks_without_image=tuple(one for one in self.masks_without_image if one.ref not in taken),
        )

    def without_unseen(self, masks: Collection[str]) -> Pairing:
        """Return the same with images left over whose `masks`, by the names of their files, nobody has looked at."""
        kept = tuple(pair for pair in self.pairs if pair.mask.path.name not in masks)
        left = tuple(LeftOver(pair.image, NoPair.UNSEEN) for pair in self.pairs if pair.mask.path.name in masks)
        return replace(self, pairs=kept, images_without_mask=(*self.images_without_mask, *left))

    def explained(self, unreadable: Iterable[tuple[Path, str]]) -> Pairing:
        """Return the same with another reason for what would have a partner, could its file be read."""
        broken = [ImageRef(path).stem for path, _ in unreadable]
        return replace(
            self,
            images_without_mask=_with_broken(self.images_without_mask, broken, "its mask cannot be read"),
            masks_without_image=_with_broken(self.masks_without_image, broken, "its image cannot be read"),
        )


def _with_broken(left: Iterable[LeftOver], broken: Sequence[str], reason: str) -> tuple[LeftOver, ...]:
    keys = {core(stem) for stem in broken} - {()}
    return tuple(replace(one, reason=reason) if core(one.ref.stem) in keys else one for one in left)


def name_guesses(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a sentence on images and masks, by their names, that were matched by order alone; empty for none."""
    guessed = [f"{image} with {mask}" for image, mask in pairs]
    if not guessed:
        return ""
    return (
        f"No mask is named like an image, so they were paired in order: {first_of(guessed)}. "
        "Check that they belong together, or give them equal names."
    )


def pair_images(images: Sequence[ImageRef], masks: Sequence[ImageRef]) -> Pairing:
    """Pair images and masks by name; two stacks pair frame by frame.

    Tried in this order: equal names; names equal but for words like image, raw, mask or label; masks of single frames
    by their number; a name that contains exactly one of the other side; if no name fits, the same number; if that fits
    none either, no words differ and there are as many masks as images, natural order. What could be paired in two ways
    is left over, with the reason. In a folder that holds both, names with a word for a mask are the masks, or else
    files of equal names with few values.
    """
    images, masks, how = _separated(images, masks)
    matching = _Matching(_by_file(images), _by_file(masks))
    matching.by_name()
    matching.by_frame()
    matching.by_part()
    if matching.untouched:
        matching.by_number()
    pairs = [*matching.of_frames, *(pair for match in matching.matches for pair in matching.frames(*match))]
    if matching.untouched:
        pairs = _by_order(matching.images, matching.masks)
    pairs = [replace(pair, reason=pair.reason + how) for pair in pairs]
    return _pairing(images, masks, pairs, matching.refused)


def masks_among(refs: Sequence[ImageRef]) -> frozenset[ImageRef]:
    """Return the masks that lie among their images in one folder, as `pair_images` pairs them, if they look like masks.

    A few files are read, for a word such as target may be part of the name of an image.
    """
    masks = [pair.mask for pair in pair_images(refs, refs).pairs]
    return frozenset(masks) if hold_areas(masks) else frozenset()


@dataclass(frozen=True)
class _File:
    path: Path
    refs: tuple[ImageRef, ...]

    @property
    def stem(self) -> str:
        return self.refs[0].stem

    @property
    def frames(self) -> tuple[int | None, ...]:
        return tuple(ref.frame for ref in self.refs)


_NAME_KEYS: tuple[tuple[Callable[[str], object], Callable[[str], object], str], ...] = (
    (str, str, "same name"),
    (words_and_numbers, without_mask_words, "same name but for the word for a mask"),
    (core, core, "same name but for words like image and mask"),
)


@dataclass
class _Matching:
    """Files still without partner, those matched, and those that must not be guessed."""

    images: list[_File]
    masks: list[_File]
    matches: list[tuple[_File, _File, str]] = field(default_factory=list)
    refused: dict[Path, str] = field(default_factory=dict)
    of_frames: list[Pair] = field(default_factory=list)

    @property
    def untouched(self) -> bool:
        return not self.matches and not self.refused and not self.of_frames

    def by_name(self) -> None:
        for image_key, mask_key, reason in _NAME_KEYS:
            image_keys = [image_key(file.stem) for file in self.images]
            self._by_keys(image_keys, [mask_key(file.stem) for file in self.masks], reason)
        self._refuse_rivals()

    def by_frame(self) -> None:
        """Pair masks that are single files with frames of an image file by their numbers."""
        stacks = [file for file in self.images if len(file.refs) > 1]
        numbers = _frame_numbers(stacks, [file for file in self.masks if len(file.refs) == 1])
        taken: set[Path] = set()
        for image in stacks:
            numbered = [(mask, number) for mask, number in numbers[core(image.stem)] if mask.path not in taken]
            if not numbered:
                continue
            found, masks = {number: mask for mask, number in numbered}, [mask for mask, _ in numbered]
            first = _first_number(found, len(image.refs))
            if first is None or len(found) < len(masks):
                self._refuse(_which_frame(image, masks), [image, *masks])
                continue
            reason = f"same frame, counted from {first}"
            self.of_frames += [Pair(image.refs[number - first], found[number].refs[0], reason) for number in found]
            taken |= {image.path, *(mask.path for mask in masks)}
        self._forget(taken)
        self._forget_settled()

    def by_part(self) -> None:
        """Pair a mask with the only image whose name is part of its own, or the other way round."""
        partners = _partners(self.images, self.masks)
        images_of: dict[Path, list[_File]] = {}
        masks_of: dict[Path, list[_File]] = {}
        for image, mask in partners:
            images_of.setdefault(mask.path, []).append(image)
            masks_of.setdefault(image.path, []).append(mask)
        candidates, fitting = ({path: _names(found) for path, found in of.items()} for of in (images_of, masks_of))
        of_channels = {path: _of_nnunet(found) for path, found in images_of.items() if _are_channels(_stems(found))}
        for image, mask in partners:
            if len(images_of[mask.path]) == len(masks_of[image.path]) == 1:
                self.matches.append((image, mask, "the name of one contains that of the other"))
            elif len(masks_of[image.path]) == 1 and mask.path in of_channels:
                self._refuse(of_channels[mask.path], [image, mask])
            else:
                self._refuse(_not_clear(candidates[mask.path], fitting[image.path]), [image, mask])
        self._forget_settled()

    def by_number(self) -> None:
        image_stems, mask_stems = _stems(self.images), _stems(self.masks)
        if not image_stems or not mask_stems or (words_vary(image_stems) and words_vary(mask_stems)):
            return
        self._by_keys(varying_numbers(image_stems), varying_numbers(mask_stems), "same number")

    def frames(self, image: _File, mask: _File, reason: str) -> list[Pair]:
        """Return the pairs in two files that belong together, none if their frames differ."""
        if image.frames != mask.frames:
            reason = f"{image.path.name} holds {len(image.refs)} images but {mask.path.name} {len(mask.refs)}"
            if len(mask.refs) == 1 < len(image.refs) <= _MOST_CHANNELS:
                reason += ". If these are channels of one image, save them as its last axis or as TIFF with named axes"
            self._refuse(reason, [image, mask])
            return []
        reason = reason if image.frames == (None,) else f"{reason}, same frame"
        return [Pair(one, other, reason) for one, other in zip(image.refs, mask.refs, strict=True)]

    def _by_keys(self, image_keys: Sequence[object], mask_keys: Sequence[object], reason: str) -> None:
        images, masks = _grouped(self.images, image_keys), _grouped(self.masks, mask_keys)
        for key in images.keys() & masks.keys():
            if len(images[key]) == len(masks[key]) == 1:
                self.matches.append((images[key][0], masks[key][0], reason))
            else:
                self._refuse_ambiguous(images[key], masks[key])
        self._forget_settled()

    def _refuse_rivals(self) -> None:
        """Undo a match if a second mask has the image's name too, be it with another suffix."""
        rivals = _grouped(self.masks, [core(file.stem) for file in self.masks])
        matches, self.matches = self.matches, []
        for image, mask, reason in matches:
            if others := rivals.get(core(image.stem)):
                self._refuse_ambiguous([image], [mask, *others])
            else:
                self.matches.append((image, mask, reason))
        self._forget_settled()

    def _refuse_ambiguous(self, images: list[_File], masks: list[_File]) -> None:
        self._refuse(_not_clear(_names(images), _names(masks)), images + masks)

    def _refuse(self, reason: str, files: Iterable[_File]) -> None:
        self.refused.update((file.path, reason) for file in files)

    def _forget_settled(self) -> None:
        self._forget({file.path for match in self.matches for file in match[:2]} | self.refused.keys())

    def _forget(self, settled: Collection[Path]) -> None:
        self.images = [file for file in self.images if file.path not in settled]
        self.masks = [file for file in self.masks if file.path not in settled]


def _names(files: Sequence[_File]) -> str:
    return first_of(sorted(file.path.name for file in files))


def _not_clear(images: str, masks: str) -> str:
    return f"not clear which belong together: {images} and {masks}"


def _separated(images: Refs, masks: Refs) -> tuple[Refs, Refs, str]:
    """Tell images and masks of one folder apart, and say how if not by their names; leave those of two folders."""
    if not set(images) & set(masks):
        return images, masks, ""
    everything, how = list(dict.fromkeys([*images, *masks])), ""
    are_masks = name_masks([ref.stem for ref in everything])
    if not any(are_masks):
        by_suffix = masks_by_suffix(everything)
        are_masks = [ref in by_suffix for ref in everything]
        how = next((f", and the {ref.path.suffix} files hold few values, as masks do" for ref in by_suffix), "")
    told = list(zip(everything, are_masks, strict=True))
    return [ref for ref, is_mask in told if not is_mask], [ref for ref, is_mask in told if is_mask], how


def _by_file(refs: Sequence[ImageRef]) -> list[_File]:
    frames: dict[Path, list[ImageRef]] = {}
    for ref in refs:
        frames.setdefault(ref.path, []).append(ref)
    return [_File(path, tuple(found)) for path, found in frames.items()]


def _stems(files: Sequence[_File]) -> list[str]:
    return [file.stem for file in files]


def _grouped(files: Sequence[_File], keys: Sequence[object]) -> dict[object, list[_File]]:
    """Return files by key; an empty key says nothing and is left out."""
    groups: dict[object, list[_File]] = {}
    for file, key in zip(files, keys, strict=True):
        if key != ():
            groups.setdefault(key, []).append(file)
    return groups


def _by_order(images: Sequence[_File], masks: Sequence[_File]) -> list[Pair]:
    """Return pairs in the given order, none if counts differ or a number in the names speaks against it."""
    image_refs, mask_refs = ([ref for file in files for ref in file.refs] for files in (images, masks))
    if len(image_refs) != len(mask_refs) or not _order_is_plausible(images, masks):
        return []
    return [Pair(image, mask, BY_ORDER) for image, mask in zip(image_refs, mask_refs, strict=True)]


def _frame_numbers(stacks: Sequence[_File], masks: Sequence[_File]) -> dict[Core, list[tuple[_File, int]]]:
    """Return for what is left of the name of each stack the masks with that in their names, and their frames."""
    found: dict[Core, list[tuple[_File, int]]] = {core(image.stem): [] for image in stacks}
    for mask in masks if stacks else ():
        whole = core(mask.stem)
        for part in _parts(whole) & found.keys():
            number = _number_beside(part, whole)
            if number is not None:
                found[part].append((mask, number))
    return found


def _number_beside(part: Core, whole: Core) -> int | None:
    """Return the only number that a name holds beside the first `part` in it; ``None`` if there is none."""
    start = next(at for at in range(len(whole)) if whole[at : at + len(part)] == part)
    rest = [one for one in whole[:start] + whole[start + len(part) :] if isinstance(one, int)]
    return rest[0] if len(rest) == 1 else None


def _first_number(found: Collection[int], count: int) -> int | None:
    """Return whether `found` number `count` frames from 0 or from 1, ``None`` if that is not clear."""
    if max(found) > count or (0 in found) == (count in found):
        return None
    return 0 if 0 in found else 1


def _which_frame(image: _File, masks: Sequence[_File]) -> str:
    names = first_of([mask.path.name for mask in masks])
    return (
        f"not clear which of the {len(image.refs)} frames of {image.path.name} the numbers mean ({names}): they may "
        f"count from 0 or from 1. Add a mask, be it empty, of frame 0 if they count from 0, or of frame "
        f"{len(image.refs)} if they count from 1"
    )


def _are_channels(stems: Sequence[str]) -> bool:
    """Tell whether names end as those of nnU-Net do, with the number of a channel in four digits."""
    ends = [re.search(r"_(\d{4})$", stem) for stem in stems]
    return all(ends) and len({stem[:-5] for stem in stems}) == 1


def _of_nnunet(images: Sequence[_File]) -> str:
    names = first_of([file.path.name for file in images])
    return (
        f"{names} are channels of one image in files of their own, as nnU-Net wants them. Save them as one TIFF with "
        "these channels, or leave all but one of them out"
    )


def _partners(images: Sequence[_File], masks: Sequence[_File]) -> list[tuple[_File, _File]]:
    """Return images and masks of which one name contains the other, but no longer one of the same side."""
    found: dict[tuple[Path, Path], tuple[_File, _File]] = {}
    for key in (_tokens, core):
        image_keys, mask_keys = ([key(file.stem) for file in files] for files in (images, masks))
        inside = [(image, masks[place]) for image, place in _contained(images, image_keys, mask_keys)]
        inside += [(images[place], mask) for mask, place in _contained(masks, mask_keys, image_keys)]
        found |= {(image.path, mask.path): (image, mask) for image, mask in inside}
    return list(found.values())


def _contained(files: Sequence[_File], keys: Sequence[Core], others: Sequence[Core]) -> list[tuple[_File, int]]:
    """Return files whose key is part of one of `others`, with its place; of parts of it only the longest count."""
    by_key: dict[Core, list[_File]] = {}
    for file, key in zip(files, keys, strict=True):
        if core(file.stem) and any(isinstance(part, str) for part in key):
            by_key.setdefault(key, []).append(file)
    found = []
    for place, whole in enumerate(others):
        parts = {part for part in _parts(whole) if part in by_key}
        longest = [part for part in parts if not any(part in _parts(other) for other in parts - {part})]
        found += [(file, place) for part in longest for file in by_key[part]]
    return found


def _parts(key: Core) -> set[Core]:
    """Return all that stands together in a name, without the whole."""
    ends = range(1, len(key) + 1)
    return {key[start:end] for end in ends for start in range(end) if end - start < len(key)}


def _tokens(stem: str) -> Core:
    return tuple(int(part) if part.isdecimal() else part for part in words_and_numbers(stem))


def _order_is_plausible(images: Sequence[_File], masks: Sequence[_File]) -> bool:
    if words_vary(_stems(images)) or words_vary(_stems(masks)):
        return False
    if len(images) != len(masks):  # then one stack may stand against as many files, but nothing in between
        return 1 in (len(images), len(masks))
    same_frames = all(image.frames == mask.frames for image, mask in zip(images, masks, strict=True))
    return same_frames and not any(map(_contradict, varying_numbers(_stems(images)), varying_numbers(_stems(masks))))


def _contradict(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Tell whether two names hold numbers and neither holds all of the other's."""
    return bool(one and other) and not (set(one) <= set(other) or set(other) <= set(one))


def _pairing(
    images: Sequence[ImageRef], masks: Sequence[ImageRef], pairs: list[Pair], refused: dict[Path, str]
) -> Pairing:
    order = {ref: place for place, ref in enumerate(images)}
    paired = {ref for pair in pairs for ref in (pair.image, pair.mask)}
    image_rest, mask_rest = ([ref for ref in refs if ref not in paired] for refs in (images, masks))
    return Pairing(
        tuple(sorted(pairs, key=lambda pair: order[pair.image])),
        tuple(LeftOver(ref, refused.get(ref.path, NoPair.NO_MASK)) for ref in image_rest),
        tuple(LeftOver(ref, refused.get(ref.path, "no image has a matching name")) for ref in mask_rest),
    )
