"""The report of a run: one page that needs nothing else, tables beside it, and only what really happened."""

import csv
import html
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from statistics import fmean

import imageio.v3 as iio
import numpy as np
import pytest

from napari_unet_finetune.comparison.run import compare_models
from napari_unet_finetune.config import AugmentConfig, FinetuneConfig, ModelConfig, PredictConfig
from napari_unet_finetune.data.appearance import Appearance
from napari_unet_finetune.data.folders import AnnotatedFolder, open_folder
from napari_unet_finetune.data.objects import ONE_VALUE
from napari_unet_finetune.errors import DataError, RunError
from napari_unet_finetune.evaluation.evaluate import evaluate
from napari_unet_finetune.events import RunEnded, drain, from_json
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.learning_curve.plan import pairs_of_datasets
from napari_unet_finetune.learning_curve.run import run_study
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.outcome import WhyBase, summarized, why_base
from napari_unet_finetune.report.write import report
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.request import ComparedModel, CompareRequest, CurveRequest
from napari_unet_finetune.text import number

from .conftest import Reread, start, tiny


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "action")]


def written(run, out, folder=None, **options):
    tests = () if folder is None else open_folder(folder / "images", folder / "masks")
    files = drain(report(run, out, tests=tests, device="cpu", **options))
    return files, files.page.read_text(encoding="utf-8")


def table(files, part):
    (path,) = [path for path in files.tables if path.stem.endswith(f"-{part}")]
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole(finetuned, tmp_path_factory):
    return written(finetuned.run, tmp_path_factory.mktemp("out") / "page.html", finetuned.test)


def test_the_page_needs_nothing_else_and_runs_nothing(whole):
    parser = _Tags()
    parser.feed(whole[1])
    assert not {"script", "link", "iframe", "form"} & set(parser.tags)
    assert parser.links and all(link.startswith("data:image/png;base64,") for link in parser.links)
    assert "@import" not in whole[1] and not re.search(r"url\((?!#)|href=\"(?!#)", whole[1])


def test_images_are_let_go_once_they_are_scored(finetuned, tmp_path):
    images = Reread(open_folder(finetuned.test / "images", finetuned.test / "masks"))
    drain(report(finetuned.run, tmp_path / "page.html", tests=images, device="cpu"))
    assert images.most <= 2


def test_hostile_names_are_text(whole, finetuned):
    name = next(path.stem for path in (finetuned.new / "images").iterdir() if "script" in path.stem)
    assert "<script" not in whole[1]
    assert name in html.unescape(whole[1])
    assert name in [row["image"] for row in table(whole[0], "images")]


def test_scores_are_those_of_evaluate_for_both_models(whole, finetuned):
    rows = table(whole[0], "scores")
    tests = open_folder(finetuned.test / "images", finetuned.test / "masks")
    for model, path in ((finetuned.base.name, finetuned.base), (finetuned.run.name, finetuned.run)):
        expected = evaluate(load_model(path / "model.safetensors"), tests, PredictConfig(device="cpu"))
        found = [row for row in rows if (row["role"], row["model"]) == ("test", model)]
        assert [float(row["dice"]) for row in found] == pytest.approx([row.dice for row in expected])
    groups = {role: sum(row["role"] == role for row in rows) for role in ("test", "held out", "training")}
    assert groups == {"test": 8, "held out": 2, "training": 8}


def test_how_the_models_saw_images_is_in_the_table_and_counted_below_it(finetuned, tmp_path, monkeypatch):
    def how_shown(self, _):
        return "" if self.model.card.provenance.parent_sha256 else "exchanged"

    monkeypatch.setattr(Predictor, "how_shown", how_shown)
    files, page = written(finetuned.run, tmp_path / "page.html", finetuned.test)
    rows = table(files, "scores")
    assert {(row["tag"], row["shown"]) for row in rows} == {("base", "exchanged"), ("", "")}
    assert f"{finetuned.base.name} saw 4 of 4 images exchanged." in page
    assert f"{finetuned.run.name} saw" not in page


def test_objects_are_reported_where_masks_number_them(whole, finetuned, tmp_path):
    folder = open_folder(finetuned.test / "images", finetuned.test / "masks")
    numbered = [replace(one, labels=one.target * (1 + (one.target.cumsum().reshape(one.shape) > 20))) for one in folder]
    files = drain(report(finetuned.run, tmp_path / "page.html", tests=numbered, device="cpu"))
    rows = [row for row in table(files, "scores") if (row["role"], row["model"]) == ("test", finetuned.run.name)]
    model = load_model(finetuned.run / "model.safetensors")
    expected = [row.values for row in evaluate(model, numbered, PredictConfig(device="cpu"))]
    for name in ("predicted_objects", "true_objects", "f1", "ap", "count_error", "no_object_scores"):
        assert [row[name] for row in rows] == ["" if row[name] is None else str(row[name]) for row in expected]
    assert {row["no_object_scores"] for row in table(whole[0], "scores")} == {ONE_VALUE}
    page = files.page.read_text(encoding="utf-8")
    assert {row["true_objects"] for row in expected} == {2}
    assert "TP / (TP + FP + FN)" in page and "TP / (TP + FP + FN)" not in whole[1]


def test_hashes_are_whole_in_the_table_and_the_images_unchanged(whole, finetuned):
    rows = {row["image"]: row for row in table(whole[0], "images") if row["role"] != "test"}
    recorded = load_model(finetuned.run / "model.safetensors").card.provenance.images
    assert {name: row["sha256"] for name, row in rows.items()} == {one.name: one.sha256 for one in recorded}
    assert {row["state"] for row in rows.values()} == {"unchanged"}
    assert all(one.sha256[:12] in whole[1] and one.sha256 not in whole[1] for one in recorded)


def test_settings_name_who_set_them(whole):
    rows = {row["setting"]: row for row in table(whole[0], "settings")}
    assert rows["steps"] == {"setting": "steps", "value": "4", "preset_value": "2000", "origin": "user"}
    assert rows["learning_rate"]["origin"] == "preset"
    assert (rows["patch_size"]["value"], rows["patch_size"]["origin"]) == ("32", "program")


def test_old_dataset_and_versions_are_there(whole, finetuned):
    (ended,) = [event for event in RunFolder(finetuned.run).events() if isinstance(event, RunEnded)]
    for value in (ended.old_dice_before, ended.old_dice_after):
        assert f"{value:.3f}" in whole[1]
    for version in load_model(finetuned.run / "model.safetensors").card.provenance.versions.values():
        assert version in whole[1]


def test_methods_claim_only_what_happened(whole, finetuned, tmp_path):
    text = re.sub(r"\s+", " ", html.unescape(whole[1]))
    assert "was finetuned on 4 annotated images; 1 image of the same dataset was held out" in text
    assert "Patches were not augmented" in text and "nnU-Net" not in text
    assert "soft Dice loss" in text and "Tversky loss" not in text
    assert "AdamW" in text and "Adam:" not in text
    assert "In each level of the decoder 20 %" in text
    assert "L2-SP" not in text and "were of the old dataset (stored in the base model's file)" in text
    base = re.sub(r"\s+", " ", html.unescape(written(finetuned.base, tmp_path / "base.html")[1]))
    assert "trained from random weights on 3 annotated images" in base
    assert "old dataset" not in base.partition("Methods")[2].partition("Images")[0]


def test_old_images_without_masks_are_reported_as_self_distillation(finetuned, tmp_path):
    old = {"base_images": finetuned.new / "images", "checkpoint": str(finetuned.base / "model.safetensors")}
    run = start(tmp_path / "run", finetuned.new, task="finetune", **old)
    text = re.sub(r"\s+", " ", html.unescape(written(run.path, tmp_path / "old.html")[1]))
    assert "stored in the base model's file, and from its images, with the base model's predictions as masks" in text
    assert "Learning without forgetting" in text and "patches kept in the base model" in text


def test_citations_are_numbered_and_all_of_them_listed(whole):
    methods = whole[1].partition("<h2>Methods</h2>")[2].partition("</section>")[0]
    cited = {int(number) for group in re.findall(r"\[([\d, ]+)\]", methods) for number in group.split(",")}
    assert cited == set(range(1, methods.count("<li>") + 1))


def test_limits_tell_that_held_out_images_chose_the_model(whole, finetuned, tmp_path):
    assert "The held-out images also chose the step of this model" in whole[1]  # too few for the threshold
    alone = written(finetuned.run, tmp_path / "alone.html")[1]
    assert "give some as test images" in alone
    assert "--images" not in alone and "The command" not in alone  # it may have been written from a dock


def test_test_images_that_were_trained_on_are_told(finetuned, tmp_path):
    page = written(finetuned.run, tmp_path / "leak.html", finetuned.new)[1]
    assert "5 of 5 test images were used in the training as well" in page


def test_test_images_whose_masks_are_accepted_predictions_are_told(finetuned, tmp_path):
    pairing = open_folder(finetuned.new / "images", finetuned.new / "masks").pairing
    tests = AnnotatedFolder.of(replace(pair, made_by="wbc") for pair in pairing.pairs[:1])
    page = drain(report(finetuned.run, tmp_path / "accepted.html", tests=tests, device="cpu")).page
    assert "is a prediction of wbc, accepted as it was" in page.read_text(encoding="utf-8")


def with_event(run, kind, **changes):
    """Let the events of a run tell something else."""
    file = run / "events.jsonl"
    events = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    told = [{**event, **changes} if event["kind"] == kind else event for event in events]
    file.write_text("".join(json.dumps(event) + "\n" for event in told), "utf-8")


def test_one_old_image_that_is_lost_is_told_though_the_mean_is_well(own_copy, tmp_path):
    worst = {"name": "old <7>", "before": 0.9, "after": 0.8}
    with_event(own_copy.run, "run_ended", old_dice_before=0.9, old_dice_after=0.895, old_images=12, worst_old=worst)
    page = written(own_copy.run, tmp_path / "lost.html")[1]
    assert "One old image (old &lt;7&gt;) lost 0.100 Dice" in page and "worst of 12" in page
    with_event(own_copy.run, "run_ended", worst_old={**worst, "after": 0.88})
    assert "One old image" not in written(own_copy.run, tmp_path / "kept.html")[1]


def test_images_that_the_model_mistakes_are_named(own_copy, tmp_path):
    with_event(own_copy.run, "run_ended", sorted_out=9, mistaken_old=["old <7>"], mistaken_new=["img_01"])
    page = written(own_copy.run, tmp_path / "mistaken.html")[1]
    assert "old &lt;7&gt;, img_01" in page and "takes 1 old and 1 new ones" in page


def test_old_images_that_keep_their_weights_are_told_and_lose_only_where_they_are_mistaken(own_copy, tmp_path):
    page = told(own_copy.run, tmp_path)
    assert "with the weights of the base model, as before" not in page
    lost = {"old_dice_before": 0.9, "old_dice_after": 0.7, "mistaken_old": ["old 7"], "sorted_out": 9}
    with_event(own_copy.run, "run_ended", spared_old=True, share=1.0, **lost)
    page = told(own_copy.run, tmp_path)
    assert "with the weights of the base model, as before" in page
    assert "since images of it are taken for new ones" in page
    with_event(own_copy.run, "run_ended", old_dice_before=None, old_dice_after=None)
    assert "Whether the old dataset is forgotten was not measured" not in told(own_copy.run, tmp_path)


def test_images_without_masks_are_reported_once_they_took_part(own_copy, tmp_path):
    with_event(own_copy.run, "run_started", unannotated_images=["x", "y"])
    page = told(own_copy.run, tmp_path)
    assert "patches of 2 images without masks" in page and "Mean teachers are better" in page
    with_event(own_copy.run, "run_started", unannotated_images=[])
    assert "images without masks" not in told(own_copy.run, tmp_path)


def told(run, folder):
    """Return the text of the report of a run."""
    return re.sub(r"\s+", " ", html.unescape(written(run, folder / "page.html")[1]))


def test_why_telling_images_apart_could_not_be_tried_is_told(own_copy, tmp_path):
    failure = "old <7>: no memory. Choose the device 'cpu'."
    for tried, said in ((0, "could not be tried: "), (9, "could not be tried with all of them: ")):
        with_event(own_copy.run, "run_ended", not_sorted_out=failure, sorted_out=tried)
        page = written(own_copy.run, tmp_path / f"page-{tried}.html")[1]
        assert f"apart {said}old &lt;7&gt;: no memory." in page


@pytest.mark.parametrize(("window", "is_part"), [(16, True), (4000, False)])
def test_that_only_a_window_was_scored_is_told_with_its_size(own_copy, tmp_path, window, is_part):
    with_event(own_copy.run, "run_started", window_px=window)
    page = written(own_copy.run, tmp_path / "page.html")[1]
    assert ("scored on a window of at most 16 px" in page) == is_part


def test_changed_images_are_told(own_copy, tmp_path):
    file = own_copy.new / "masks" / "img_00.png"
    iio.imwrite(file, iio.imread(file)[::-1])
    files, page = written(own_copy.run, tmp_path / "changed.html")
    assert "img_00: image or mask has changed since the training" in page
    assert {row["image"]: row["state"] for row in table(files, "images")}["img_00"] == "changed"


def test_a_report_without_its_images_tells_what_is_on_record(own_copy, tmp_path):
    own_copy.new.rename(tmp_path / "elsewhere")
    files, page = written(own_copy.run, tmp_path / "gone.html")
    assert "The images are not where they were" in page
    rows = table(files, "images")
    assert len(rows) == 5 and {row["state"] for row in rows} == {"missing"} and all(row["sha256"] for row in rows)
    assert table(files, "scores") == []
    assert written(own_copy.run, tmp_path / "test.html", own_copy.test)[1].count("base model") > 1


def test_an_interrupted_run_is_called_so(own_copy, tmp_path):
    (own_copy.run / "model.safetensors").unlink()
    file = own_copy.run / "events.jsonl"
    lines = [line for line in file.read_text().splitlines(keepends=True) if '"run_ended"' not in line]
    file.write_text("".join(lines))
    page = written(own_copy.run, tmp_path / "part.html")[1]
    assert "The training has not come to its end (step 4 of 4)" in page
    assert "was calibrated" not in page


def test_stopping_writes_what_is_there(finetuned, tmp_path):
    asked = iter([False, False])
    files, page = written(finetuned.run, tmp_path / "s.html", finetuned.test, should_stop=lambda: next(asked, True))
    assert files.stopped and len(table(files, "scores")) == 4 and "<h2>Limits</h2>" in page


def test_a_folder_without_a_run_or_model_is_refused(tmp_path, own_copy):
    with pytest.raises(RunError, match="not the folder of a run"):
        drain(report(tmp_path / "nothing"))
    for name in ("model.safetensors", "best.safetensors"):
        (own_copy.run / name).unlink()
    with pytest.raises(RunError, match="no model yet"):
        drain(report(own_copy.run))


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_squares):
    root = tmp_path_factory.mktemp("study")
    old, new = write_squares(root / "old", 5), write_squares(root / "new", 8, bright=False, seed=1)
    plan = CurveRequest(
        **pairs_of_datasets(old, new, 4, test1=2, test2=3, base_count=3), counts=(0, 2, 3, 4), seeds=2,
        model=ModelConfig(width=16, levels=2), config=tiny(dropout=0.1), base_config=tiny(preset="from scratch"),
    )  # fmt: skip
    drain(run_study(plan, root / "out"))
    return root


def test_a_study_is_reported_with_its_curve_and_every_model(study, tmp_path):
    files, page = written(study / "out", tmp_path / "study.html")
    text = re.sub(r"\s+", " ", html.unescape(page))
    assert "finetuned with the first 2, 3 and 4 images of a new dataset, 2 trainings each" in text
    assert "In each level of the decoder 10 % of the feature maps were dropped at random" in text
    assert len(table(files, "scores")) == 5 * (1 + 3 * 2)
    assert {row["role"] for row in table(files, "images")} == {"training", "held out", "test"}
    headers = re.findall(r'<div class="header">(.*?)</div>', page)
    assert headers[1:-1] == ["base of out (base)", *(f"{count} images, seed 0, out" for count in (2, 3, 4))]
    assert {row["model"] for row in table(files, "scores") if row["tag"] == "base"} == {"base of out"}
    assert page.count("<svg") == 2 and "bootstrap" not in page
    methods = page.partition("<h2>Methods</h2>")[2].partition("</section>")[0]
    cited = {int(number) for group in re.findall(r"\[([\d, ]+)\]", methods) for number in group.split(",")}
    assert cited == set(range(1, methods.count("<li>") + 1))


def test_a_study_counts_the_test_images_that_were_shown_otherwise(study, tmp_path):
    shutil.copytree(study / "out", tmp_path / "out")
    for file in (tmp_path / "out" / "rows").iterdir():
        file.write_text(json.dumps([row | {"shown": "exchanged"} for row in json.loads(file.read_text())]))
    files, page = written(tmp_path / "out", tmp_path / "study.html")
    assert {row["shown"] for row in table(files, "scores")} == {"exchanged"}
    for images in ("3 of 3 test images of the new", "2 of 2 test images of the old"):
        assert f"Without finetuning and with 2, 3 and 4 images the model saw {images} dataset exchanged." in page


def test_a_study_whose_images_are_gone_is_still_reported(study, tmp_path):
    (study / "new").rename(study / "moved")
    try:
        page = written(study / "out", tmp_path / "gone.html")[1]
    finally:
        (study / "moved").rename(study / "new")
    assert "The test images are not where they were" in page and "<h2>Comparison</h2>" not in page


def test_a_study_without_a_model_is_refused(study, tmp_path):
    shutil.copytree(study / "out", tmp_path / "early")
    for file in (tmp_path / "early" / "rows").glob("*seed*"):
        file.unlink()
    with pytest.raises(RunError, match="no model of this study"):
        drain(report(tmp_path / "early"))


@pytest.fixture(scope="module")
def kept_base(finetuned, tmp_path_factory):
    """Return a run that learned nothing and kept its base; never change it."""
    config = tiny(learning_rate=1e-9, warmup_steps=0, appearance="as they are")
    base = str(finetuned.base / "model.safetensors")
    folder = tmp_path_factory.mktemp("kept") / "run"
    return start(folder, finetuned.new, task="finetune", checkpoint=base, config=config).path


def test_a_base_model_that_was_kept_is_called_so(kept_base, tmp_path):
    files, page = written(kept_base, tmp_path / "kept.html")
    assert "the base model was used unchanged" in page and "base model is kept" in page
    assert {row["model"] for row in table(files, "scores")} == {"base"}
    assert {row["state"] for row in table(files, "images")} == {"not recorded"}


UP, SAME = {"raw_dice": 0.5, "unmixed_dice": 0.55}, {"raw_dice": 0.8, "unmixed_dice": 0.8}
OLD_LOST = {"old_dice_before": 0.9, "unmixed_old_dice": 0.7}
DICE = "the Dice coefficient"
ON_OLD = "on old images from 0.900 to 0.700"
ON_HALF = "on at least half of the training images by no more than 0.02"
NO_MIX = "no mix of the base model's weights and these was worth that"


# What the last sentence of the training says for each reason.
TOLD = {
    WhyBase.NO_STEP: "Stopped before the first step",
    WhyBase.NO_GAIN: "did not improve on the base model (Dice 0.800 on 1 held-out image): the",
    WhyBase.NO_GAIN_AND_LOSS: "did not improve on the base model (Dice 0.800 on 1 held-out image) and lowered Dice on",
    WhyBase.GAIN_BUT_LOSS: "Finetuning raised Dice from",
    WhyBase.LOSS: "Finetuning lowered Dice on old images from",
    WhyBase.HARDLY_LEARNED: "At least half of the images that were trained on have gained no more than 0.02",
}


@pytest.mark.parametrize(
    ("held_out", "end", "why", "said"),
    [
        (1, SAME, WhyBase.NO_GAIN, f"this did not raise {DICE} on held-out images,"),
        (1, SAME | OLD_LOST, WhyBase.NO_GAIN_AND_LOSS, f"{DICE} on held-out images and lowered that {ON_OLD}"),
        (1, UP | OLD_LOST, WhyBase.GAIN_BUT_LOSS, f"on held-out images from 0.500 to 0.550 but lowered that {ON_OLD}"),
        (1, UP | OLD_LOST, WhyBase.GAIN_BUT_LOSS, NO_MIX),
        (0, {}, WhyBase.HARDLY_LEARNED, f"no image was held out, and this raised {DICE} {ON_HALF}"),
        (0, OLD_LOST, WhyBase.LOSS, f"{ON_OLD} and, as the training images showed without held-out ones, {NO_MIX}"),
        (0, {"steps": 0}, WhyBase.NO_STEP, "Since no step was made"),
        # What three digits do not show.
        (1, {**OLD_LOST, "raw_dice": 0.8001, "unmixed_dice": 0.8002}, WhyBase.GAIN_BUT_LOSS, "0.8001 to 0.8002 but"),
        (1, {**OLD_LOST, "raw_dice": 0.8, "unmixed_dice": 0.7999}, WhyBase.NO_GAIN_AND_LOSS, f"lowered that {ON_OLD}"),
        (1, {**SAME, "old_dice_before": 0.95, "unmixed_old_dice": 0.9402}, WhyBase.NO_GAIN, "held-out images,"),
        (0, {"old_dice_before": 0.9504, "unmixed_old_dice": 0.9396}, WhyBase.LOSS, "from 0.950 to 0.940"),
        (0, {"old_dice_before": 0.9506, "unmixed_old_dice": 0.9407}, WhyBase.HARDLY_LEARNED, ON_HALF),
    ],
)  # fmt: skip
def test_why_the_base_was_kept_is_told_alike_at_the_end_and_in_a_report(kept_base, tmp_path, held_out, end, why, said):
    run = shutil.copytree(kept_base, tmp_path / "run")
    scores = {"raw_dice": None, "finetuned_dice": None, "unmixed_dice": None, "old_dice_before": None}
    with_event(run, "run_ended", **{**scores, "unmixed_old_dice": None, **end})
    images = ["img_00", "img_01", "img_02", "img_03"]
    with_event(run, "run_started", train_images=images[held_out:], validation_images=images[:held_out])
    ended = from_json((run / "events.jsonl").read_text("utf-8").splitlines()[-1])
    config = RunFolder(run).request.config
    assert why_base(ended, config, held_out) is why
    assert TOLD[why] in summarized(ended, config, held_out).summary
    text = re.sub(r"\s+", " ", html.unescape(written(run, tmp_path / "why.html")[1]))
    because = re.search(r"Since [^.]*(?:\.\d[^.]*)*, the base model was used unchanged\.", text)
    assert because is not None and said in because[0] and (held_out or "on held-out" not in because[0])


@pytest.mark.parametrize(("has_card", "said"), [(True, "cosine schedule"), (False, "constant until three validations")])
def test_the_schedule_is_named_where_the_base_was_kept(kept_base, tmp_path, has_card, said):
    """It is what the training settled; where no card of it is left, what so many held-out images settle."""
    run = shutil.copytree(kept_base, tmp_path / "run")
    if not has_card:
        (run / "best.safetensors").unlink()
        request = RunFolder(run).request
        longer = request.config.model_copy(update={"steps": 2000})
        (run / "request.json").write_text(request.model_copy(update={"config": longer}).model_dump_json())
    assert said in written(run, tmp_path / "schedule.html")[1]


@pytest.mark.parametrize(("share", "said"), [(0.25, "25\u00a0% was taken"), (0.0, "the base model's were used")])
def test_weights_that_were_mixed_are_described_with_their_share(own_copy, tmp_path, share, said):
    file = own_copy.run / "events.jsonl"
    *before, ended = file.read_text(encoding="utf-8").splitlines()
    mixed = json.dumps({**json.loads(ended), "share": share})
    file.write_text("\n".join([*before, mixed, ""]), encoding="utf-8")
    _, page = written(own_copy.run, tmp_path / "mixed.html")
    assert said in html.unescape(page) and ("2109.01903" in page) is (share > 0)


@pytest.mark.parametrize(("given", "said"), [(False, "new images"), (True, "new and old images")])
def test_old_images_are_said_to_have_a_say_where_they_had_one(own_copy, tmp_path, given, said):
    """Those that are given may be of a dataset that is shown as the new one, and share its weights."""
    file, run = own_copy.run / "model.safetensors", RunFolder(own_copy.run)
    turned = Appearance(inverted=(0,))
    load_model(file).with_card(knows=(Appearance(), turned, turned)).save(file)
    if given:
        request = run.request.model_copy(update={"base_images": tmp_path / "old", "base_masks": tmp_path / "masks"})
        (own_copy.run / "request.json").write_text(request.model_dump_json(), encoding="utf-8")
    with_event(own_copy.run, "run_ended", share=0.25)
    assert f"coefficient on {said}." in told(own_copy.run, tmp_path)


def test_held_out_regions_of_large_images_are_called_regions(own_copy, tmp_path):
    with_event(own_copy.run, "run_started", validation_images=["slide[y0 x0]", "slide[y0 x704]"])
    page = told(own_copy.run, tmp_path)
    assert "; 2 regions of the same dataset were held out." in page and "With 2 held-out regions, a mean" in page


@pytest.mark.parametrize(("images", "is_calibrated"), [(["a"], False), (["a", "b"], True)])
def test_a_threshold_is_not_said_to_be_calibrated_on_a_single_image(own_copy, tmp_path, images, is_calibrated):
    with_event(own_copy.run, "run_started", train_images=images, validation_images=[])
    assert ("was calibrated on the training images" in told(own_copy.run, tmp_path)) is is_calibrated


def test_the_recipe_of_the_study_is_described_as_it_is(finetuned, tmp_path):
    config = FinetuneConfig(preset="seed recipe", epochs=1, patch_size=32, patch_stride=32, device="cpu")
    base = str(finetuned.base / "model.safetensors")
    run = start(tmp_path / "run", finetuned.new, task="finetune", checkpoint=base, config=config)
    text = re.sub(r"\s+", " ", html.unescape(written(run.path, tmp_path / "seed.html")[1]))
    assert "(1 epochs) on batches of 4 patches of 32 × 32 px from a grid with a stride of 32 px, without" in text
    assert "a loss chosen by the predicted share of objects" in text and "with Adam [" in text
    assert "lowest loss on a random 20 % of the patches" in text and "was calibrated" not in text
    assert "Validation was by loss on random patches" in text and "were of the old dataset" not in text


def test_strokes_are_reported_as_strokes(finetuned, tmp_path):
    shutil.copytree(finetuned.new, tmp_path / "strokes")
    for file in (tmp_path / "strokes" / "masks").iterdir():
        mask = np.where(iio.imread(file) > 0, 2, 1).astype(np.uint8)
        mask[::2] = 0
        iio.imwrite(file, mask)
    base = str(finetuned.base / "model.safetensors")
    config = tiny(augment=AugmentConfig(p_objects=0.3))
    run = start(tmp_path / "run", tmp_path / "strokes", task="finetune", checkpoint=base, config=config, sparse=True)
    page = written(run.path, tmp_path / "strokes.html")[1]
    assert "surroundings apart (of patches annotated as a whole)" in page
    assert "Annotations were brush strokes" in page and "Only annotated pixels were scored" in page


def test_a_report_is_never_written_over_a_file_of_another_kind(finetuned, tmp_path):
    image = tmp_path / "image.tif"
    image.write_bytes(b"pixels")
    with pytest.raises(DataError, match=r"image\.tif: this file must end in \.html or \.htm"):
        drain(report(finetuned.run, image))
    assert image.read_bytes() == b"pixels"


def test_every_number_about_a_model_is_the_same_number(whole, finetuned, tmp_path):
    """Card, report and its table, comparison and what curves are made of agree on the held-out images."""
    file, name = finetuned.run / "model.safetensors", finetuned.run.name
    files, page = whole
    reported = [row for row in table(files, "scores") if row["role"] == "held out" and not row["tag"]]
    assert {row["model"] for row in reported} == {name}
    held_out = read_card(file).provenance.names_held_out
    assert [row["image"] for row in reported] == list(held_out)
    images = open_folder(finetuned.new / "images", finetuned.new / "masks").only(held_out)
    asked = CompareRequest(
        models=(ComparedModel(label=name, model=str(file)),), images=tuple(one.image for one in images.pairing.pairs),
        pairs=images.pairing.pairs, cache=tmp_path / "cache", config=PredictConfig(device="cpu"),
    )  # fmt: skip
    compared = drain(compare_models(asked))
    of_curve = evaluate(load_model(file), images, PredictConfig(device="cpu"))
    means = [fmean(float(row["dice"]) for row in reported), fmean(one.dice for one in compared)]
    means += [fmean(row.dice for row in of_curve), read_card(file).provenance.scores["val_dice"]]
    assert len({number(mean) for mean in means}) == 1, means
    shown = number(means[0])
    assert shown in page
