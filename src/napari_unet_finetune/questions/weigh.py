"""Old or new: what weights between those of a base and its finetuned model are worth, and the model of such a mix."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..checked_json import Count, Score
from ..config import DeviceName
from ..data.appearance import AS_THEY_ARE
from ..data.folders import AnnotatedFolder
from ..errors import DataError, RunError
from ..events import TOLERATED_DROP, Event, ImageChange, PartStarted, as_run, drain, forgets, never
from ..io.disk import check_suffix
from ..models.card import find_model_file
from ..models.names import name_of_file
from ..result import Result, ResultTable
from ..runs.folder import RunFolder
from ..runs.history import PastRun
from ..text import count_of, first_of, listed, number, percent

if TYPE_CHECKING:
    from ..models.model import Model
    from ..models.provenance import Provenance
    from ..training.prepare import Setup
    from ..training.state import Progress

SHARES = tuple(tenth / 10 for tenth in range(11))
"""The shares that are tried: of the way from the base's weights to those of the finetuned model."""


@dataclass(frozen=True)
class ShareScores:
    """What the model has whose weights lie `share` of the way from the base's (0) to the finetuned model's (1).

    `new` is the mean Dice on held-out new images, `old` that on old images; None where there are none. `worst_old` is
    the old image that lost most or gained least over the base, None where there is no more than one.
    """

    share: Score
    new: Score | None
    old: Score | None
    worst_old: ImageChange | None = None

    @property
    def title(self) -> str:
        """The share, and what it is at both ends."""
        ends = {0.0: " (base)", 1.0: " (finetuned)"}
        return f"{self.share:g}{ends.get(self.share, '')}"

    @property
    def worst_in_words(self) -> str:
        """How the worst old image fares; a dash where nobody knows."""
        one = self.worst_old
        return "–" if one is None else f"{one.name}: {one.before:.3f} → {one.after:.3f}"


@dataclass(frozen=True)
class Weighing(Result):
    """Scores of the weights between `base` and the finetuned `model`, by share, the first and last being these two.

    New images are `held_out` ones of that training, windows of which are scored as there; old ones are those it was
    given or, without any, those whose patches the base carries. `mix` is the file of a model that was written. Where
    new images are shown to the finetuned model in another way than to the base, `shown` is the base's Dice on them so.
    `patches` are the sides in pixels of the base's patches and of the model's, where these are others.
    Where the training `kept_base`, `model` are its finetuned weights, which it did not keep.
    """

    base: str
    model: str
    held_out: Count
    old_images: Count
    rows: tuple[ShareScores, ...]
    mix: Path | None = None
    shown: Score | None = None
    kept_base: bool = False
    patches: tuple[Count, Count] | None = None

    @property
    def headline(self) -> str:
        """From where to where the scores go."""
        first, last = self.rows[0], self.rows[-1]
        parts = [
            f"Dice {number(before)} → {number(after)} on {count_of(count, f'{kind} image')}"
            for kind, count, before, after in (
                ("held-out new", self.held_out, first.new, last.new),
                ("old", self.old_images, first.old, last.old),
            )
            if count
        ]
        return f"From {self.base} to {self.model}: {'; '.join(parts)}."

    @property
    def sentences(self) -> tuple[str, ...]:
        """Up to which share old images keep what they had, what is no gain of weights, and which model was written."""
        kind = "mix" if len(self.rows) > 2 else "model"  # the ends, and what lies between
        written = f"The {kind} is {self.mix}." if self.mix else ""
        return tuple(
            filter(None, (self._about_kept(), self._spared(), self._about_shown(), self._about_patches(), written))
        )

    @property
    def table(self) -> ResultTable:
        """The scores of each share."""
        rows = tuple((row.title, number(row.new), number(row.old), row.worst_in_words) for row in self.rows)
        note = "Share: of the way from the base's weights to those of the finetuned model."
        return ResultTable(("share", "Dice new", "Dice old", "worst old image"), rows, note=note)

    def at(self, share: float) -> ShareScores:
        """Return the scores of the tried share that is the nearest one."""
        return min(self.rows, key=lambda row: abs(row.share - share))

    def _about_kept(self) -> str:
        """Say what the finetuned weights cost, where the training kept those of the base."""
        if not self.kept_base:
            return ""
        first, last = self.rows[0], self.rows[-1]
        moves = [
            f"{after - before:+.3f} on {kind} images"
            for kind, before, after in (("new", first.new, last.new), ("old", first.old, last.old))
            if before is not None and after is not None
        ]
        return (
            "The training kept the weights of the base. Share 1 is its best finetuned ones, which can be taken all the "
            f"same ({listed(moves)})."
        )

    def _about_shown(self) -> str:
        if self.shown is None:
            return ""
        as_it_is = self.rows[0].new
        gains = as_it_is is not None and self.shown > as_it_is
        why = "up to there the gain is that of how they are shown" if gains else "they are not shown better so"
        return (
            "Share 0 is the base as it is. With new images shown as to the finetuned model its weights have "
            f"{self.shown:.3f}, before anything is learned: {why}."
        )

    def _about_patches(self) -> str:
        if self.patches is None:
            return ""
        own, other = self.patches
        return (
            f"Share 0 is the base in patches of its own, of {own} px; all others see patches of {other} px, which by "
            "itself changes what they find."
        )

    def _spared(self) -> str:
        first = self.rows[0]
        if first.old is None or len(self.rows) < len(SHARES):
            return ""
        lost = next((place for place, row in enumerate(self.rows) if forgets(first.old, row.old)), None)
        if lost is None:
            return f"At no share do old images lose more than {TOLERATED_DROP:g} on average."
        if lost == 1:
            return f"Already at share {self.rows[1].share:g} old images lose more than {TOLERATED_DROP:g} on average."
        kept = self.rows[lost - 1]
        new = "" if kept.new is None else f"; new ones have {kept.new:.3f} there"
        return f"Up to share {kept.share:g} old images lose no more than {TOLERATED_DROP:g} on average{new}."


@as_run
def weigh(
    run: Path | str,
    shares: Sequence[float] = SHARES,
    *,
    device: DeviceName | None = None,
    should_stop: Callable[[], bool] = never,
) -> Generator[Event, None, Weighing | None]:
    """Score the models between the base of a finetuning and its model; yield how far it is, return the scores.

    Parameters
    ----------
    run
        Folder of a finetuning that has ended; only read.
    shares
        Which mixes are scored, from 0 (the base as it is) to 1 (the finetuned model); these two always are. Where the
        training kept the weights of the base, 1 stands for the best that it had.
    device
        That of the training if left out.
    should_stop
        Asked before each share; None is returned when it says yes.

    Raises
    ------
    DataError
        If a share is none, or the images are gone.
    RunError
        If the run has no model yet or no base, or images have changed since, or there are none to score with, or it
        cannot be told how the model sees one.
    ModelError
        If base or model cannot be read.
    DeviceError
        If the device is absent.
    """
    found = yield from _weighed(Path(run), shares, device, should_stop)
    return None if found is None else found[1]


@as_run
def keep_mix(
    run: Path | str,
    share: float,
    out: Path | str,
    *,
    overwrite: bool = False,
    device: DeviceName | None = None,
    should_stop: Callable[[], bool] = never,
) -> Generator[Event, None, Weighing | None]:
    """Write the model of one share to the file `out`; return its scores beside those of base and finetuned model.

    Share 1 is a model to write only where the training kept the weights of the base. Raises what `weigh` raises, and
    `DataError` if the file is there already (unless it is to `overwrite` it) or is one of these two models themselves.
    """
    run, out = Path(run), Path(out)
    past = PastRun(RunFolder(run))
    base, kept = _files_of(past)
    if not (0 < share < 1 or (share == 1 and past.kept_base)):
        _check_share(share)
        raise DataError(f"Share {share:g} is no mix: that model is {kept if share else base} itself.")
    check_suffix(out, ".safetensors")
    if out.absolute() in {file.absolute() for file in (base, kept, past.model) if file is not None}:
        raise DataError(f"{out} is one of the models that are mixed. Choose another name.")
    if out.exists() and not overwrite:
        raise DataError(f"{out} exists already. Choose another name.")
    found = yield from _weighed(run, (share,), device, should_stop)
    if found is None:
        return None
    scales, weighing = found
    scales.model(share, weighing).save(out)
    return replace(weighing, mix=out)


def mixed_model(run: Path | str, share: float, *, device: DeviceName | None = None) -> Model:
    """Return the model whose weights lie `share` of the way from the base's to those of a finetuning's model.

    Its card tells the share, its scores, and its parent, which is the base; the threshold stays that of the finetuned
    model. Share 0 gives the base as it is, share 1 the finetuned model, also where the training kept the weights of the
    base. Raises what `weigh` raises.
    """
    found = drain(_weighed(Path(run), (share,), device, never))
    assert found is not None
    scales, weighing = found
    return scales.model(share, weighing)


@dataclass(frozen=True)
class _Scales:
    """The two models of a finetuning, and its images, on which what lies between them is scored."""

    base: Model
    kept: Model
    setup: Setup
    kept_base: bool = False

    def mix(self, share: float) -> Model:
        """Return the model of a share, with the card of the finetuned one; both ends are the models themselves."""
        from ..training.keep import mixed

        if share in (0, 1):
            return self.kept if share else self.base
        return replace(self.kept, weights=mixed(self.setup.base.weights, self.kept.weights, share))

    def model(self, share: float, scores: Weighing) -> Model:
        """Return the model of a share with a card that says what it is, and its `scores`."""
        if share == 0 or (share == 1 and not self.kept_base):
            return self.mix(share)
        return self.mix(share).with_card(provenance=self._provenance(scores.rows[0], scores.at(share), scores.model))

    def _provenance(self, base: ShareScores, mix: ShareScores, kept: str) -> Provenance:
        from ..models.provenance import Provenance, package_versions
        from ..training.conclude import UNFINISHED

        own, fresh = self.kept.card.provenance, Provenance()
        scores = {
            "val_dice": mix.new,
            "raw_val_dice": base.new,
            "old_dice_before": base.old,
            "old_dice_after": mix.old,
            "finetuned_share": None if mix.share == 1 else mix.share * own.scores.get("finetuned_share", 1.0),
        }
        what = f"A mix that was chosen by hand: {percent(mix.share)} of the way from the base's weights to {kept}"
        if mix.share == 1:
            what = f"Weights that were chosen by hand: the finetuned ones of {kept}"
        note = f"{what}, whose training kept those of the base." if self.kept_base else f"{what}."
        changes = {
            "name": "",
            "created": fresh.created,
            "package_version": fresh.package_version,
            "versions": package_versions(),
            "scores": {name: score for name, score in scores.items() if score is not None},
            "notes": (*(one for one in own.notes if one != UNFINISHED), note),
        }
        return own.model_copy(update=changes)

    def base_scores(self) -> tuple[ShareScores, Progress]:
        """Return what the base has as its user knows it, as the training scored it, and all that was seen of it."""
        from ..training.finetune import before_training

        setup = self.setup
        progress = before_training(setup.base.build_network().to(setup.device), setup)
        return ShareScores(0.0, progress.base_dice, progress.old_dice_before), progress

    def scores(self, share: float, old_before: Mapping[str, float]) -> ShareScores:
        """Return the scores of a mix or the finetuned model, found as at the end of the training."""
        from ..inference.views import trains_mirrored
        from ..training.keep import dice_on_old, mean_of, worst_change
        from ..training.sort_out import sort_out
        from ..training.validation import ImageValidator

        setup, model = self.setup, self.mix(share)
        network, threshold = model.build_network().to(setup.device), model.card.threshold
        told = []
        if isinstance(setup.validator, ImageValidator):
            mirrored = trains_mirrored(setup.config.augment)
            validator = ImageValidator(setup.held_out, setup.config, setup.precision, threshold, mirrored)
            told = validator.dice_of_each(network)
        sorted_out = sort_out(model, setup, scored=True)
        if sorted_out.failure:
            raise RunError(f"How the model sees the images of its training cannot be told: {sorted_out.failure}")
        spared = old_before if setup.can_spare_old and model.older is not None else None
        old = {
            **(dice_on_old(network, setup, threshold) if spared is None else spared),
            **sorted_out.old_dice,
        }
        return ShareScores(share, sorted_out.mean_dice(told), mean_of(old), worst_change(old_before, old))


def _weighed(
    run: Path, shares: Sequence[float], device: DeviceName | None, should_stop: Callable[[], bool]
) -> Generator[Event, None, tuple[_Scales, Weighing] | None]:
    from ..device import free_memory

    for share in shares:
        _check_share(share)
    past = PastRun(RunFolder(run))
    base, kept = _files_of(past)
    between = sorted({0.0, 1.0, *map(float, shares)} - {0.0})
    total = len(between) + 2
    yield PartStarted("reading the images", 1, total)
    scales = _scales(past, base, kept, device, should_stop)
    if should_stop():
        return None
    yield PartStarted("the base", 2, total)
    first, before = scales.base_scores()
    old = before.old_before
    rows = [first]
    for index, share in enumerate(between, start=3):
        if should_stop():
            return None
        yield PartStarted(f"share {share:g}", index, total)
        rows.append(scales.scores(share, old))
    free_memory(scales.setup.device)
    held_out = len(scales.setup.held_out) if rows[-1].new is not None else 0
    shown = before.raw_score if scales.setup.shows_otherwise and before.raw_as_is != before.raw_score else None
    names, sizes = (name_of_file(base), name_of_file(kept)), (scales.base.card.patch_size, scales.kept.card.patch_size)
    patches = sizes if sizes[0] != sizes[1] else None
    kept_base = scales.kept_base
    weighing = Weighing(*names, held_out, len(old), tuple(rows), shown=shown, kept_base=kept_base, patches=patches)
    return scales, weighing


def _check_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise DataError(f"Share {share:g} does not lie between the models. Choose one from 0 (base) to 1 (finetuned).")


def _files_of(past: PastRun) -> tuple[Path, Path]:
    """Return the files of base and finetuned model: that of its best weights if the training kept those of the base."""
    run, request = past.folder.path, past.request
    if request.task != "finetune" or request.checkpoint is None:
        raise RunError(f"{run}: this training began from scratch, so there is no base. Choose a finetuning.")
    kept = past.model
    if kept is None:
        raise RunError(f"{run}: this finetuning has not ended with a model. Resume it, or choose another one.")
    if past.kept_base:
        kept = past.folder.best_path
        if not past.folder.is_finished or not kept.is_file():
            raise RunError(
                f"{run}: this finetuning kept the weights of its base, and its own are in no file. Resume it, or "
                "finetune anew."
            )
    base = find_model_file(request.checkpoint)
    if not base.is_file():
        raise RunError(f"{run}: its base model is not where it was ({base}). Put that file back there.")
    return base, kept


def _scales(
    past: PastRun, base_file: Path, kept_file: Path, device: DeviceName | None, should_stop: Callable[[], bool]
) -> _Scales:
    """Read models and images as the training did, and refuse those that are no longer the same."""
    from ..models.load import load_model
    from ..models.model import weights_hash
    from ..runs.execute import old_images_of
    from ..training.prepare import prepare
    from ..training.state import Begun
    from ..training.validation import ImageValidator

    run, request = past.folder.path, past.request
    base, kept = load_model(base_file), load_model(kept_file)
    parent = weights_hash(base.weights)
    if weights_hash(kept.weights) == parent:
        raise RunError(f"{run}: there is nothing between its model and the base, which have the same weights.")
    if kept.card.provenance.parent_sha256 not in (None, parent):
        raise RunError(f"{run}: {base_file} is no longer the base model of this finetuning. Put the former file back.")
    config = request.config.model_copy(update={"device": device or request.config.device})
    images = _images_of(past, kept)
    own = kept.card.provenance
    window, held_out = own.config.get("validation_crop_px"), own.held_out if own.images else None
    shown = kept.card.knows[-1] if kept.card.knows else AS_THEY_ARE
    begun = Begun(shown.curves, window, held_out, shown.inverted)
    old = old_images_of(request)
    setup = prepare(base, images, config, base_images=old, begun=begun, should_stop=should_stop)
    if not should_stop():
        _refuse_changes(past, kept, setup)
        if not setup.old and not isinstance(setup.validator, ImageValidator):
            raise RunError(
                f"{run}: no image was held out of this finetuning and it has no old images with masks, so there is "
                "nothing to weigh a mix with. Hold out images, or give old ones, in the next finetuning."
            )
    return _Scales(base, kept, setup, past.kept_base)


def _images_of(past: PastRun, kept: Model) -> AnnotatedFolder:
    """Return the images that the model learned from and that were held out; those annotated since take no part."""
    from ..runs.execute import images_of

    names = [image.name for image in kept.card.provenance.images]
    images = images_of(past.request)
    if gone := [name for name in names if name not in images.names]:
        raise RunError(f"{past.folder.path}: {first_of(gone)} of this finetuning is gone. Put image and mask back.")
    return images.only(names or None)


def _refuse_changes(past: PastRun, kept: Model, setup: Setup) -> None:
    """Refuse images that are not those of the training: their scores would tell something else."""
    from ..training.finetune import data_sha256

    run = past.folder.path
    before = {image.name: image.sha256 for image in kept.card.provenance.images}
    changed = [image.name for image in setup.records if before and before.get(image.name) != image.sha256]
    if changed:
        raise RunError(
            f"{run}: image or mask of {first_of(changed)} has changed since this finetuning, so scores would tell "
            "something else. Finetune anew."
        )
    state = None
    with suppress(RunError):  # a state that cannot be read tells nothing
        state = past.folder.load_state()
    if state is not None and state.progress.get("data_sha256") != data_sha256(setup):
        raise RunError(
            f"{run}: the old images have changed since this finetuning, so scores would tell something else. Finetune "
            "anew."
        )
