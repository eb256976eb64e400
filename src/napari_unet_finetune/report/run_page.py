"""The page of a report about one run, section by section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from ..colors import BLUE, ERRORS, GREY, VERMILION
from ..data.annotated_image import AnnotatedImage
from ..evaluation.areas import FEW_IMAGES, Estimation
from ..evaluation.figures import OverlayRow, contrast, error_overlay
from ..evaluation.rows import mean_of_known
from ..events import forgets
from ..metrics import SURFACE_TOLERANCE_PX, dice, pooled_area_ratio
from ..models.provenance import DISTRIBUTION, installed_version
from ..outcome import ENOUGH_HELD_OUT
from ..text import count_of, number
from .charts import Level, Line, line_chart
from .methods import References, a_device, base_name, methods
from .page import Bullets, Chart, Charts, Facts, Gallery, Page, Picture, Section, Table, Text, picture_uri
from .run_record import Role, RunRecord, UsedImage
from .scores import BASE, FINAL, Scored, Shown, spread
from .settings import model_card, setting_tables, versions

GROUP_NAMES: dict[Role, str] = {"test": "test", "held out": "held-out", "training": "training"}


def lead(record: RunRecord) -> tuple[str, ...]:
    """Return in two sentences what was done and what came of it."""
    images = count_of(len(record.started.train_images), "annotated image")
    held_out = len(record.started.validation_images)
    rest = "none was held out" if not held_out else f"{held_out} more {'was' if held_out == 1 else 'were'} held out"
    what = (
        "A model was trained from scratch" if record.from_scratch
        else f"The base model “{base_name(record)}” was finetuned"
    )  # fmt: skip
    how = f"for {record.steps:,} steps on {a_device(record.started.device)} with {images}"
    return (f"{what} {how}; {rest}.", _outcome(record))


def _outcome(record: RunRecord) -> str:
    if record.ended is None:
        return (
            f"The training has not come to its end (step {record.steps:,} of {record.started.steps:,}): this is the "
            "best model so far."
        )
    return record.ended.summary


def highlights(record: RunRecord, scored: Scored, estimation: Estimation | None) -> tuple[tuple[str, str, str], ...]:
    """Return the few figures that matter most: value, name, and a note."""
    cards = [_dice_card(scored, role) for role in scored.roles if role != "training"]
    if not cards and record.ended is not None and record.ended.finetuned_dice is not None:
        name = f"Dice on {count_of(len(record.started.validation_images), 'held-out image')}"
        cards.append((_change(record.ended.raw_dice, record.ended.finetuned_dice), name, "as measured in training"))
    if record.ended is not None and record.ended.old_dice_after is not None:
        value = _change(record.ended.old_dice_before, record.ended.old_dice_after)
        cards.append((value, "Dice on the old dataset", "before → after"))
    if estimation is not None and estimation.area_ratio is not None:
        interval = f"{estimation.low:.2f} to {estimation.high:.2f}" if estimation.low is not None else "no interval"
        cards.append(
            (f"{estimation.area_ratio:.2f} ×", f"predicted / true area ({interval})", f"verdict: {estimation.verdict}")
        )  # fmt: skip
    return tuple(cards)


def _dice_card(scored: Scored, role: Role) -> tuple[str, str, str]:
    before, after = (mean_dice(scored, role, model) for model in (BASE, FINAL))
    count = count_of(len(scored.of(role, FINAL)), f"{GROUP_NAMES[role]} image")
    note = "base → this model" if before is not None else "this model"
    return _change(before, after), f"mean Dice on {count}", note


def mean_dice(scored: Scored, role: Role, model: str) -> float | None:
    """Return the mean Dice of a model on a group of images, None where it was not scored."""
    rows = scored.of(role, model)
    return fmean(row.scores.dice for row in rows) if rows else None


def _change(before: float | None, after: float | None) -> str:
    values = [f"{value:.3f}" for value in (before, after) if value is not None]
    return " → ".join(values)


def limits(record: RunRecord, scored: Scored, tests: tuple[UsedImage, ...]) -> tuple[str, ...]:
    """Return what a reader must know before trusting the figures."""
    return (*_about_held_out(record, scored), *_about_tests(record, scored, tests), *_about_run(record))


def _about_held_out(record: RunRecord, scored: Scored) -> Iterator[str]:
    count = len(record.started.validation_images)
    tested = bool(scored.of("test", FINAL))
    if record.config.validation == "patches":
        yield (
            "Validation was by loss on random patches of the training images, which overlap with patches trained on: "
            "it says nothing about new images."
        )
    elif not count:
        yield "No image was held out" + (
            "; only the test images tell how good the model is on new ones." if tested else
            ": nothing here tells how good the model is on new images."
        )  # fmt: skip
    elif not record.kept_raw:
        is_threshold = record.config.calibrate and count >= ENOUGH_HELD_OUT
        chose = "the step and the threshold" if is_threshold else "the step"
        yield (
            f"The held-out images also chose {chose} of this model, so their scores are a little too good"
            + (
                ". The scores on test images are not."
                if tested
                else ". Only images that decided nothing give an honest score: give some as test images."
            )
        )
    if 0 < count < FEW_IMAGES:
        yield f"With {count_of(count, 'held-out image')}, a mean is a rough number: another choice of images may change it by several hundredths."  # noqa: E501
    if scored.of("training", FINAL):
        yield "Scores on training images show that the model could learn them, not how good it is on new ones."


def _about_tests(record: RunRecord, scored: Scored, tests: tuple[UsedImage, ...]) -> Iterator[str]:
    seen = {image.pixels_sha256 for image in record.used if image.pixels_sha256}
    leaked = [image.name for image in tests if image.pixels_sha256 in seen]
    if leaked:
        yield (
            f"{len(leaked)} of {len(tests)} test images were used in the training as well ({', '.join(leaked[:5])}"
            f"{', …' if len(leaked) > 5 else ''}): scores on them are not those of unseen images."
        )
    if 0 < len(scored.of("test", FINAL)) < FEW_IMAGES:
        yield f"There are only {len(tests)} test images; intervals over so few are rough."


def _about_run(record: RunRecord) -> Iterator[str]:
    yield "One training with one seed: what another seed would give is not known. A learning curve of several tells it."
    crop = record.config.validation_crop_px
    if any(image.size and max(image.size) > crop for image in record.images if image.role == "held out"):
        yield (
            f"While training, held-out images were scored on a window of at most {crop} px; the tables of this report "
            "score whole images, so the two may differ."
        )
    ended = record.ended
    if not record.from_scratch and (ended is None or ended.old_dice_after is None):
        yield "Whether the old dataset is forgotten was not measured: there were no old images and no patches of them."
    elif ended is not None and ended.old_dice_before is not None and ended.old_dice_after is not None:
        drop = ended.old_dice_before - ended.old_dice_after
        if forgets(ended.old_dice_before, ended.old_dice_after):
            yield f"The old dataset lost {drop:.3f} Dice: for its images, the base model is the better one."
    if record.started.device != "cpu":
        yield "On a GPU the same seed does not give exactly the same weights."
    if record.request.holds_strokes:
        yield "Only annotated pixels were scored; what lies between the strokes is not known."


# Rows of the comparison, fewer if images are tall, so that it stays on one page.
EXAMPLES, TALLEST = 4, 3.4
HASH_CHARACTERS = 12
_MEANINGS: dict[Role, str] = {
    "test": "Test images: they took no part in the training.",
    "held out": "Held-out images: not trained on, but they chose between weights.",
    "training": "Training images.",
}


def run_page(record: RunRecord, scored: Scored, tests: tuple[UsedImage, ...], estimation: Estimation | None) -> Page:
    """Return the report of a run."""
    references = References()
    paragraph = methods(record, references, scored=bool(scored.rows))
    kind = "Training" if record.from_scratch else "Finetuning"
    return Page(
        title=f"{kind} report: {record.folder.resolve().name}",
        subtitle=f"{DISTRIBUTION} {installed_version()} · model of {_day(record)} · report of {today()}",
        lead=lead(record),
        highlights=highlights(record, scored, estimation),
        sections=tuple(_sections(record, scored, tests, estimation, paragraph, references)),
        footer=f"Made by {DISTRIBUTION} {installed_version()} from the run folder {record.folder.resolve()}.",
    )


def today() -> str:
    """Return the date (UTC) in ISO 8601."""
    return datetime.now(UTC).date().isoformat()


def _day(record: RunRecord) -> str:
    return record.model.card.provenance.created[:10]


def _sections(
    record: RunRecord,
    scored: Scored,
    tests: tuple[UsedImage, ...],
    estimation: Estimation | None,
    paragraph: str,
    references: References,
) -> Iterator[Section]:
    if scored.shown:
        yield Section("Comparison", (_gallery(scored),))
    if scored.rows:
        yield Section("Scores", tuple(_score_tables(record, scored)))
    if estimation is not None:
        yield Section("Over- or underestimation", (Text((estimation.summary,)), _threshold_charts(estimation)))
    yield Section("Training", (_curves(record),))
    notes = (*record.problems, *record.notices)
    if notes:
        yield Section("Notices", (Bullets(notes),))
    yield Section("Limits", (Bullets(limits(record, scored, tests)),))
    yield Section("Methods", (Text((paragraph,)), Bullets(references.items, numbered=True)))
    yield Section("Images", (image_table((*record.images, *tests)),))
    yield Section("Model card", (Facts(tuple(model_card(record))),))
    yield Section("Versions and device", (Facts(tuple(versions(record))),))
    yield Section("Settings", tuple(setting_tables(record)))


def _gallery(scored: Scored) -> Gallery:
    """Return originals, predictions with their errors and the truth, from the worst image to the best."""
    tallest = max(one.shape[0] / one.shape[1] for one in scored.shown)
    shown = spread(scored.shown, max(1, min(EXAMPLES, int(TALLEST / tallest))))
    models = [name for name in (BASE, FINAL) if name in shown[0].predictions]
    titles = {BASE: "base model", FINAL: "this model"}
    role = scored.roles[0]
    return Gallery(
        headers=("image", *(titles[name] for name in models), "ground truth"),
        rows=tuple(_row(one, models) for one in shown),
        caption=(
            f"{len(shown)} of {len(scored.shown)} {GROUP_NAMES[role]} images, from the worst to the best Dice of this "
            "model; the number below a picture is its Dice."
        ),
        legend=tuple(ERRORS.items()),
    )


def _row(one: Shown, models: Sequence[str]) -> tuple[str, tuple[Picture, ...]]:
    image = one.image
    return image.name, tuple(_pictures(image, one.predictions, models))


def _pictures(
    image: AnnotatedImage, predictions: Mapping[str, NDArray[np.bool_]], models: Sequence[str]
) -> Iterator[Picture]:
    row = OverlayRow(image.name, image.image, image.target, {}, image.annotated)
    known = np.ones(image.shape, bool) if image.annotated is None else image.annotated
    yield Picture(picture_uri(contrast(image.image)))
    for name in models:
        prediction = predictions[name]
        score = dice(prediction[known], image.target[known])
        yield Picture(picture_uri(error_overlay(row, prediction)), f"{score:.3f}")
    yield Picture(picture_uri(error_overlay(row, image.target)))


def _score_tables(record: RunRecord, scored: Scored) -> Iterator[Table]:
    for role in scored.roles:
        yield _score_table(scored, role)
    ended = record.ended
    if ended is not None and ended.old_dice_after is not None:
        source = "held-out old images" if record.request.base_masks else "patches kept in the base model"
        before, after = ended.old_dice_before, ended.old_dice_after
        yield Table(
            ("old dataset", "Dice before", "Dice after", "change"),
            (
                (
                    source,
                    number(before),
                    number(after),
                    "–" if before is None else f"{after - before:+.3f}",
                ),
            ),
            "Forgetting: Dice on what is left of the old dataset, before and after this training.",
        )


def _score_table(scored: Scored, role: Role) -> Table:
    after, before = scored.of(role, FINAL), {row.image: row.scores for row in scored.of(role, BASE)}
    columns = ["image", *(["Dice, base"] if before else []), "Dice", "IoU", "surface Dice", "area predicted / true"]
    rows = []
    for row in after:
        base = [number(before[row.image].dice)] if before else []
        one = row.scores
        cells = (number(one.dice), number(one.iou), number(one.surface_dice), number(one.area_ratio, 2))
        rows.append((row.image, *base, *cells))
    rows.append(
        (
            "mean",
            *([number(fmean(scores.dice for scores in before.values()))] if before else []),
            number(fmean(row.scores.dice for row in after)),
            number(fmean(row.scores.iou for row in after)),
            number(mean_of_known(row.scores.surface_dice for row in after)),
            number(pooled_area_ratio(row.scores for row in after), 2),
        )
    )
    return Table(
        tuple(columns),
        tuple(rows),
        f"{_MEANINGS[role]} Surface Dice at a tolerance of {SURFACE_TOLERANCE_PX:g} px.",
        totals=1,
    )


def _threshold_charts(estimation: Estimation) -> Charts:
    now = Level("this model's threshold", estimation.threshold, upright=True)
    by_dice = tuple((point.threshold, point.dice) for point in estimation.curve)
    ratios = tuple((p.threshold, p.area_ratio) for p in estimation.curve if p.area_ratio is not None)
    charts = [
        Chart(
            line_chart([Line("", by_dice, BLUE)], x_label="threshold", y_label="mean Dice", levels=[now]),
            "Dice at every threshold, with the weights as they are.",
        )
    ]
    if ratios:
        balance = Level("balanced", 1.0, VERMILION)
        charts.append(
            Chart(
                line_chart(
                    [Line("", ratios, BLUE)],
                    x_label="threshold",
                    y_label="predicted / true area",
                    levels=[now, balance],
                ),
                "Predicted over true area of all images together.",
            )
        )
    return Charts(tuple(charts))


def _curves(record: RunRecord) -> Charts:
    losses = record.losses or ((0, float("nan")),)
    smooth = _running_mean([loss for _, loss in losses], max(1, len(losses) // 40))
    steps = [float(step) for step, _ in losses]
    lines = [
        Line("loss of each step", tuple((float(step), loss) for step, loss in losses), GREY, faint=True),
        Line("running mean", tuple(zip(steps, smooth, strict=True)), BLUE),
    ]
    charts = [Chart(line_chart(lines, x_label="step", y_label="training loss"), "Loss of the training batches.")]
    dices = tuple((float(end.step), end.val_dice) for end in record.validations if end.val_dice is not None)
    if dices:
        levels = [Level("base model", record.started.raw_dice)] if record.started.raw_dice is not None else []
        if record.best is not None and not record.kept_raw:
            levels.append(Level("step that was kept", float(record.best.step), VERMILION, upright=True))
        if record.from_scratch:
            levels = [level for level in levels if level.upright]
        held_out = [Line("held-out images", dices, BLUE, dots=True)]
        svg = line_chart(held_out, x_label="step", y_label="mean Dice", levels=levels)
        charts.append(Chart(svg, "Dice on held-out images, at the threshold from which its calibration starts."))
    return Charts(tuple(charts))


def _running_mean(values: Sequence[float], radius: int) -> list[float]:
    return [fmean(values[max(0, index - radius) : index + radius + 1]) for index in range(len(values))]


def image_table(images: Sequence[UsedImage]) -> Table:
    """Return a list of images with their roles and shortened hashes."""
    rows = tuple(
        (
            image.name,
            image.role,
            image.state if image.role != "test" else "–",
            image.sha256[:HASH_CHARACTERS] or "–",
            "×".join(map(str, image.size)) if image.size else "–",
            "–" if image.foreground is None else f"{100 * image.foreground:.1f}",
        )
        for image in images
    )
    return Table(
        ("image", "role", "since training", "sha256", "size (Y×X) px", "objects %"),
        rows,
        "sha256 of pixels and mask together, shortened; in full in the CSV file beside this page.",
        text_columns=4,
    )
