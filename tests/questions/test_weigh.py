"""Old or new: models between base and finetuned one are scored as they will predict, and one of them can be kept."""

import shutil
from statistics import fmean

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune import load_model, mixed_model, open_folder, weigh
from napari_unet_finetune.checked_json import checked
from napari_unet_finetune.config import AugmentConfig, FinetuneConfig, ModelConfig, PredictConfig
from napari_unet_finetune.data.split import split_at
from napari_unet_finetune.errors import DataError, FinetuneError, ModelError, RunError
from napari_unet_finetune.events import ImageChange, PartStarted, RunEnded, drain
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.metrics import dice
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.names import name_of_file
from napari_unet_finetune.models.parents import find_parent
from napari_unet_finetune.questions.weigh import SHARES, ShareScores, Weighing, keep_mix
from napari_unet_finetune.runs.execute import run_here
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.request import FinetuneRequest
from napari_unet_finetune.training.conclude import UNFINISHED
from napari_unet_finetune.training.finetune import train
from napari_unet_finetune.training.keep import Kept, mixed

# Dark squares are learned and bright ones forgotten, and nothing is done about it.
CONFIG = FinetuneConfig(
    steps=20, batch_size=2, patch_size=32, validate_every=10, warmup_steps=2, weight_average=0.5, learning_rate=3e-3,
    replay_share=0, l2sp=0, tolerated_drop=1, appearance="as they are", augment=AugmentConfig(p_affine=0),
    device="cpu", precision="fp32", calibrate=False, keep_raw=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory, write_squares):
    """Return a folder with old and new images and the base that knows the old ones; never change it."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("weigh")
    old = write_squares(folder / "old", 6)
    write_squares(folder / "new", 6, bright=False, seed=1)
    config = CONFIG.model_copy(update={"steps": 40, "rehearsal_patches": 8})
    images = open_folder(old / "images", old / "masks")
    drain(train(images, config, shape=ModelConfig(width=16, levels=2))).model.save(folder / "base.safetensors")
    return folder


def finetuned(path, home, *, old=True, **settings):
    """Return the folder of a finetuning in `path`, with the old images or with the patches of the base alone."""
    request = FinetuneRequest(
        task="finetune", images=home / "new" / "images", masks=home / "new" / "masks",
        base_images=home / "old" / "images" if old else None, base_masks=home / "old" / "masks" if old else None,
        checkpoint=str(home / "base.safetensors"), config=CONFIG.model_copy(update=settings),
    )  # fmt: skip
    folder = RunFolder.create(path, request)
    drain(run_here(folder))
    return folder


@pytest.fixture(scope="module")
def run(home):
    return finetuned(home / "20260105-101500-default-6-images", home)


@pytest.fixture(scope="module")
def weighing(run):
    return drain(weigh(run.path))


def end_of(run):
    return next(event for event in run.events() if isinstance(event, RunEnded))


@given(
    share=st.floats(0, 1),
    ends=st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=1, max_size=20),
)
def test_mixed_weights_lie_on_the_line_between_the_two(share, ends):
    base, tuned = (torch.tensor(values, dtype=torch.float32) for values in zip(*ends, strict=True))

    def at(value):
        return mixed({"w": base}, {"w": tuned}, value)["w"]

    assert torch.equal(at(0.0), base) and torch.equal(at(1.0), tuned)
    line = base.double() + share * (tuned.double() - base.double())
    reach = (base.abs().max() + tuned.abs().max()).item()
    assert (at(share).double() - line).abs().max() <= 1e-6 * reach + 1e-30


def test_the_ends_have_the_scores_that_the_training_told(run, weighing):
    ended, first, last = end_of(run), weighing.rows[0], weighing.rows[-1]
    assert (first.new, first.old) == (ended.raw_dice, ended.old_dice_before)
    assert (last.new, last.old, last.worst_old) == (ended.finetuned_dice, ended.old_dice_after, ended.worst_old)
    assert last.new > first.new + 0.2 and last.old < first.old - 0.2  # else there would be nothing to weigh
    assert (weighing.base, weighing.model) == ("base", "6 images, 05 Jan 10:15")
    assert (weighing.held_out, weighing.old_images) == (1, ended.old_images)
    assert [row.share for row in weighing.rows] == list(SHARES)


@pytest.mark.parametrize("gains", [False, True])
@pytest.mark.parametrize("taken_for", [0, -1])
def test_the_ends_have_the_scores_of_the_training_also_where_images_are_mistaken(
    home, tmp_path, monkeypatch, gains, taken_for
):
    """All images are taken for old ones, or all for new ones."""
    monkeypatch.setattr("napari_unet_finetune.training.conclude.gains_for_old", lambda *_: gains)
    monkeypatch.setattr("napari_unet_finetune.data.normalize.likeliest", lambda known, _: [known[taken_for]])
    folder = finetuned(tmp_path / "run", home, appearance="inverted")
    ended, last = end_of(folder), drain(weigh(folder.path, ())).rows[-1]
    assert bool(ended.mistaken_new) == (taken_for == 0) != bool(ended.mistaken_old) and ended.spared_old != gains
    assert (last.new, last.old, last.worst_old) == (ended.finetuned_dice, ended.old_dice_after, ended.worst_old)


def test_what_showing_images_otherwise_brings_is_not_taken_for_the_weights(home, tmp_path, weighing):
    assert weighing.shown is None and not any("shown" in sentence for sentence in weighing.sentences)
    turned = drain(weigh(finetuned(tmp_path / "run", home, appearance="inverted").path, (0.001,)))
    base, nearly, _ = turned.rows
    assert turned.shown > base.new + 0.2
    assert nearly.new == pytest.approx(turned.shown, abs=0.02)
    assert f"its weights have {turned.shown:.3f}, before anything is learned" in turned.sentences[-1]


def test_old_images_that_keep_their_weights_lose_nothing_at_any_share(home, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unet_finetune.training.conclude.gains_for_old", lambda *_: False)
    folder = finetuned(tmp_path / "run", home, appearance="inverted")
    assert load_model(folder.result_path).older is not None and end_of(folder).spared_old
    weighing = drain(weigh(folder.path, (0.5,)))
    assert len({row.old for row in weighing.rows}) == 1 and weighing.rows[0].old > 0.9
    mix = mixed_model(folder.path, 0.5)
    predictor, base = (Predictor(model, PredictConfig(device="cpu", precision="fp32")) for model in (
        mix, load_model(home / "base.safetensors")
    ))  # fmt: skip
    old = open_folder(home / "old" / "images", home / "old" / "masks")[0]
    np.testing.assert_array_equal(predictor.predict(old).labels, base.predict(old).labels)


def test_each_share_is_a_step_and_json_gives_the_scores_back(run, weighing):
    parts = [event for event in weigh(run.path, (0.5,)) if isinstance(event, PartStarted)]
    assert [part.label for part in parts] == ["reading the images", "the base", "share 0.5", "share 1"]
    assert [(part.index, part.total) for part in parts] == [(place, 4) for place in (1, 2, 3, 4)]
    assert checked(weighing.to_json(), Weighing) == weighing


def predicted_dice(model, images, names):
    """Return the mean Dice of `model` on images called `names`, by the way on which everybody predicts."""
    predictor = Predictor(model, PredictConfig(device="cpu", precision="fp32"))
    chosen = [image for image in images if image.name in names]
    return fmean(dice(predictor.predict(image).labels > 0, image.target > 0) for image in chosen)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_the_model_that_is_saved_is_the_one_that_was_scored(run, weighing, home, tmp_path, share):
    file, row = tmp_path / "mix.safetensors", weighing.at(share)
    kept = drain(keep_mix(run.path, share, file))
    assert (kept.mix, kept.at(share)) == (file, row) and [one.share for one in kept.rows] == [0, share, 1]
    mix, own = load_model(file), mixed_model(run.path, share)
    assert all(torch.equal(mix.weights[name], own.weights[name]) for name in own.weights)
    new = open_folder(home / "new" / "images", home / "new" / "masks")
    held_out = load_model(run.result_path).card.provenance.held_out
    assert predicted_dice(mix, new, held_out) == pytest.approx(row.new, abs=1e-6)


def test_the_card_of_a_mix_says_what_it_is(run, weighing, home, tmp_path):
    file = tmp_path / "mix.safetensors"
    drain(keep_mix(run.path, 0.6, file))
    card, own, row = read_card(file), read_card(run.result_path), weighing.at(0.6)
    assert card.provenance.scores == {
        "val_dice": row.new, "raw_val_dice": weighing.rows[0].new, "old_dice_before": weighing.rows[0].old,
        "old_dice_after": row.old, "finetuned_share": 0.6,
    }  # fmt: skip
    assert "60 % of the way" in card.provenance.notes[-1] and card.provenance.created >= own.provenance.created
    assert find_parent(card, [run.result_path, home / "base.safetensors"]) == home / "base.safetensors"
    assert (card.threshold, card.images_in_words, card.knows) == (own.threshold, own.images_in_words, own.knows)


def test_the_ends_are_the_models_themselves_and_no_mixes(run, home, tmp_path):
    for share, file in ((0, home / "base.safetensors"), (1, run.result_path)):
        own, there = mixed_model(run.path, share), load_model(file)
        assert own.identity == there.identity and own.card == there.card
        with pytest.raises(DataError, match=f"that model is .*{file.name} itself"):
            drain(keep_mix(run.path, share, tmp_path / "mix.safetensors"))


def test_the_share_of_a_mix_of_a_mix_counts_from_the_base(run, home):
    kept = load_model(run.result_path)
    provenance = kept.card.provenance.model_copy(update={"scores": {"finetuned_share": 0.5}})
    again = shutil.copytree(run.path, home / "again")
    kept.with_card(provenance=provenance).save(again / "model.safetensors")
    assert mixed_model(again, 0.6).card.provenance.scores["finetuned_share"] == pytest.approx(0.3)


def test_nothing_is_overwritten_unasked_and_the_models_never(run, home, tmp_path):
    there = tmp_path / "mix.safetensors"
    there.write_bytes(b"mine")
    with pytest.raises(DataError, match="exists already"):
        drain(keep_mix(run.path, 0.5, there))
    assert there.read_bytes() == b"mine"
    for own in (run.result_path, home / "base.safetensors"):
        before = own.read_bytes()
        with pytest.raises(DataError, match="one of the models"):
            drain(keep_mix(run.path, 0.5, own, overwrite=True))
        assert own.read_bytes() == before
    assert drain(keep_mix(run.path, 0.5, there, overwrite=True)).mix == there and read_card(there).is_finetuned


def test_patches_of_the_base_stand_for_old_images(home, tmp_path):
    run = finetuned(tmp_path / "run", home, old=False)
    found, ended = drain(weigh(run.path, (0.5,))), end_of(run)
    assert (found.rows[0].old, found.rows[-1].old) == (ended.old_dice_before, ended.old_dice_after)
    assert found.old_images == ended.old_images > 0


def test_patches_of_another_size_than_the_base_has_are_told(home, tmp_path, weighing):
    run = finetuned(tmp_path / "run", home, patch_size=48)
    found = drain(weigh(run.path, (0.5,)))
    assert found.patches == (32, 48) and any("patches of its own, of 32 px" in one for one in found.sentences)
    assert found.rows[0].new == end_of(run).raw_dice
    assert weighing.patches is None and not any("patches" in one for one in weighing.sentences)


def test_stopping_gives_no_scores(run, tmp_path):
    asked = iter([False] * 3)
    assert drain(weigh(run.path, should_stop=lambda: next(asked, True))) is None
    assert drain(keep_mix(run.path, 0.5, tmp_path / "mix.safetensors", should_stop=lambda: True)) is None
    assert not list(tmp_path.iterdir())


@pytest.fixture
def moved(run, home, tmp_path):
    """Return a copy of images, base and run, with a request that leads to the copy."""
    there = shutil.copytree(home, tmp_path / "home")
    path = there / run.path.name
    text = (path / "request.json").read_text("utf-8")
    (path / "request.json").write_text(text.replace(str(home), str(there)), "utf-8")
    return RunFolder(path)


def test_images_annotated_since_take_no_part(moved, weighing):
    new = moved.path.parent / "new"
    for kind in ("images", "masks"):
        shutil.copy(new / kind / "img_00.png", new / kind / "later.png")
    assert drain(weigh(moved.path)) == weighing


def test_what_was_held_out_is_scored_whatever_would_be_held_out_now(run, weighing, monkeypatch):
    def split(fractions, *_args, **_more):
        return split_at((1, 3, 5), len(fractions))

    monkeypatch.setattr("napari_unet_finetune.training.datasets.split_images", split)
    assert drain(weigh(run.path)) == weighing


def test_images_are_shown_the_way_round_in_which_they_were_trained_on(home, tmp_path, monkeypatch):
    turned = finetuned(tmp_path / "run", home, appearance="auto")
    before = drain(weigh(turned.path, (0.5,)))
    monkeypatch.setattr("napari_unet_finetune.training.settle.CLEAR_GAIN", 2.0)
    assert before.shown is not None and drain(weigh(turned.path, (0.5,))) == before


def change(file):
    iio.imwrite(file, np.roll(iio.imread(file), 3, 0))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda run: change(run.path.parent / "new" / "masks" / "img_02.png"), "img_02 has changed"),
        (lambda run: change(run.path.parent / "old" / "masks" / "img_01.png"), "old images have changed"),
        (lambda run: (run.path.parent / "new" / "images" / "img_02.png").unlink(), "img_02 .*is gone"),
        (lambda run: (run.path.parent / "base.safetensors").unlink(), "base model is not where it was"),
        (lambda run: shutil.copy(run.result_path, run.path.parent / "base.safetensors"), "nothing between"),
        (lambda run: (run.result_path.unlink(), run.best_path.unlink()), "not ended with a model"),
        (lambda run: (run.path / "request.json").unlink(), "not the folder of a run"),
    ],
)
def test_what_cannot_be_weighed_is_refused_in_a_sentence(moved, spoil, told):
    spoil(moved)
    with pytest.raises((RunError, ModelError), match=told) as caught:
        drain(weigh(moved.path))
    assert "\n" not in str(caught.value)


def test_another_base_of_that_name_is_refused(moved, model):
    shutil.copy(model, moved.path.parent / "base.safetensors")
    with pytest.raises(RunError, match="no longer the base model"):
        drain(weigh(moved.path))


def test_a_training_from_scratch_has_nothing_to_mix(tmp_path, squares):
    request = FinetuneRequest(task="train", images=squares / "images", masks=squares / "masks", config=CONFIG)
    with pytest.raises(RunError, match="began from scratch"):
        drain(weigh(RunFolder.create(tmp_path / "run", request).path))


@pytest.fixture(scope="module")
def refused(home):
    """Return a run whose finetuned weights gained much on new images and were not kept, for what old ones lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_unet_finetune.training.conclude.choose_weights", keep_the_base)
        return finetuned(home / "20260105-111500-default-6-images", home)


def keep_the_base(_network, setup, _progress):
    return Kept(setup.base.weights, 0.0)


def test_where_the_training_kept_the_base_its_finetuned_weights_can_be_taken_and_what_they_cost_is_told(
    refused, weighing, home, tmp_path
):
    assert end_of(refused).kept_raw
    found = drain(weigh(refused.path))
    assert found.kept_base and found.rows == weighing.rows  # those of the same training that kept them
    first, last = found.rows[0], found.rows[-1]
    costs = f"({last.new - first.new:+.3f} on new images and {last.old - first.old:+.3f} on old images)"
    assert "kept the weights of the base" in found.summary and costs in found.summary
    file = tmp_path / "taken.safetensors"
    assert drain(keep_mix(refused.path, 1, file)).summary.endswith(f"The model is {file}.")
    taken, best = load_model(file), load_model(refused.best_path)
    assert taken.identity == best.identity != load_model(refused.result_path).identity
    assert taken.card.provenance.scores["old_dice_after"] == last.old
    assert "finetuned_share" not in taken.card.provenance.scores
    assert "chosen by hand" in taken.card.provenance.notes[-1] and UNFINISHED not in taken.card.provenance.notes
    assert find_parent(taken.card, [refused.result_path, home / "base.safetensors"]) in (
        refused.result_path, home / "base.safetensors",
    )  # fmt: skip
    assert mixed_model(refused.path, 0.5).card.provenance.scores["finetuned_share"] == 0.5
    assert mixed_model(refused.path, 0).identity == load_model(home / "base.safetensors").identity


def test_no_model_of_a_training_that_kept_the_base_is_overwritten(refused):
    for own in (refused.result_path, refused.best_path):
        before = own.read_bytes()
        with pytest.raises(DataError, match="one of the models"):
            drain(keep_mix(refused.path, 1, own, overwrite=True))
        assert own.read_bytes() == before


def test_finetuned_weights_that_are_gone_cannot_be_taken_and_that_is_told(refused, tmp_path):
    gone = RunFolder(shutil.copytree(refused.path, tmp_path / "gone"))
    gone.best_path.unlink()
    with pytest.raises(RunError, match=r"kept the weights of its base, and its own are in no file\. Resume it"):
        drain(weigh(gone.path))


def test_without_held_out_and_old_images_there_is_nothing_to_weigh_with(tmp_path, squares, model):
    request = FinetuneRequest(
        task="finetune", images=squares / "images", masks=squares / "masks", checkpoint=str(model),
        config=CONFIG.model_copy(update={"validation": "none", "steps": 2}),
    )  # fmt: skip
    folder = RunFolder.create(tmp_path / "run", request)
    drain(run_here(folder))
    with pytest.raises(RunError, match="nothing to weigh a mix with"):
        drain(weigh(folder.path))


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_outside_is_refused(run, share):
    with pytest.raises(FinetuneError, match="Choose one from 0"):
        mixed_model(run.path, share)


def rows(*scores, new=True):
    count = len(scores) - 1
    return tuple(
        ShareScores(place / count, 0.5 + place / 100 if new else None, old, ImageChange("dark one", 0.9, old))
        for place, old in enumerate(scores)
    )


@pytest.mark.parametrize(
    ("old", "said"),
    [
        ([0.9] * 11, "At no share"),
        ([0.9] * 7 + [0.85] * 4, "Up to share 0.6 old images lose no more than 0.01 on average; new ones have 0.560"),
        ([0.9] + [0.8] * 10, "Already at share 0.1"),
        ([0.9, 0.7] + [0.9] * 9, "Already at share 0.1"),
    ],
)
def test_the_words_say_up_to_which_share_old_images_are_spared(old, said):
    found = Weighing("base", "new one", 2, 5, rows(*old))
    assert said in found.summary and "on 2 held-out new images" in found.headline
    assert found.table.rows[10][0] == "1 (finetuned)" and found.table.rows[0][0] == "0 (base)"


def test_what_is_not_known_is_a_dash():
    found = Weighing("base", "new one", 0, 5, rows(*[0.9] * 11, new=False))
    assert "new" not in found.headline.replace("new one", "") and found.table.rows[3][1] == "–"


def test_a_mix_is_called_after_its_run(tmp_path):
    run = RunFolder(tmp_path / "20260105-101500-default-6-images")
    run.path.mkdir()
    first = run.new_mix(0.6)
    assert name_of_file(first) == "mix 60 %, 6 images, 05 Jan 10:15"
    first.touch()
    assert name_of_file(run.new_mix(0.6)) == "mix 60 % (2), 6 images, 05 Jan 10:15" and run.mixes == (first,)
    assert name_of_file(run.new_mix(1.0)) == "finetuned weights, 6 images, 05 Jan 10:15"
    assert name_of_file(tmp_path / "mix-60.safetensors") == "mix-60"


@pytest.mark.parametrize(("share", "called"), [(1.0, "finetuned weights"), (0.997, "mix 99 %"), (0.003, "mix 1 %")])
def test_only_the_very_end_is_called_finetuned_weights(tmp_path, share, called):
    run = RunFolder(tmp_path / "20260105-101500-default-6-images")
    run.path.mkdir()
    assert name_of_file(run.new_mix(share)) == f"{called}, 6 images, 05 Jan 10:15"
