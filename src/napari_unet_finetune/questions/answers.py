"""Answers in plain words, from the result of a job: a headline, sentences, a small table, and what can be done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from ..checks.against_training import DIFFERS
from ..errors import RunError
from ..evaluation.areas import Estimation, bias_in_words, errors_in_words, seen_in_words, thresholds_in_words
from ..io.disk import write_file
from ..project.question_plan import Asked, Question
from ..runs.folder import RunFolder
from ..runs.history import PastRun
from ..runs.request import RESULT
from ..text import count_of, percent


@dataclass(frozen=True)
class KeptAnswer:
    """An answer in the folder of its job; files are read once.

    Raises
    ------
    RunError
        From each property, if the folder holds no answer that can be read.
    """

    folder: Path

    @cached_property
    def asked(self) -> Asked:
        """What was asked."""
        return Asked.read(self.folder)

    @cached_property
    def answer(self) -> Answer:
        """What came of it."""
        try:
            return answer_in_words(self.asked, json.loads((self.folder / RESULT).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{self.folder}: the answer cannot be read. Ask again.") from error

    @property
    def when(self) -> str:
        """Day and time of the question."""
        return PastRun(RunFolder(self.folder)).when

    @property
    def source(self) -> str:
        """When it was asked, of which model, about which images."""
        return " · ".join(filter(None, (self.when, self.asked.model_name, self.asked.about)))

    def map_of(self, name: str) -> Path | None:
        """Return the file with the errors on the image called `name`, None if there is none."""
        if name not in self.asked.images:
            return None
        return next((self.folder / "maps").glob(f"{self.asked.images.index(name) + 1:03d}_*"), None)


def keep_answer(folder: Path, asked: Asked, result: Result | None = None) -> KeptAnswer:
    """Keep what was asked beside the result, which is written too if no job has done that.

    Raises
    ------
    RunError
        If the folder cannot be written.
    """
    if result is not None:
        write_file(folder / RESULT, json.dumps(result, allow_nan=False), error=RunError)
    asked.keep(folder)
    return KeptAnswer(folder)


def last_answers(folders: Iterable[Path]) -> dict[Question, KeptAnswer]:
    """Return the last answer to each question in `folders`, given newest first; unreadable ones are passed over."""
    found: dict[Question, KeptAnswer] = {}
    for folder in folders:
        kept = KeptAnswer(folder)
        try:
            if kept.asked.question not in found:
                _ = kept.answer
                found[kept.asked.question] = kept
        except RunError:
            continue
    return found


Result = Mapping[str, Any]
# Of a model that finds less than this, areas and thresholds mean nothing.
_FINDS = 0.5
_SHIFTS = (("objects", "object_shift"), ("background", "background_shift"), ("whole images", "overall_shift"))
_LOWEST_THRESHOLD, _HIGHEST_THRESHOLD = 0.05, 0.95


@dataclass(frozen=True)
class Table:
    """Rows of text under titles; `images` names the image of each row, and is empty if they are about none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    images: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Offer:
    """Something the user may do with the answer, and the value it takes."""

    kind: Literal["rescale", "threshold", "penalty", "open"]
    text: str
    value: Any


@dataclass(frozen=True)
class Answer:
    """The answer to a question."""

    headline: str
    sentences: tuple[str, ...] = ()
    is_warning: bool = False
    table: Table | None = None
    offers: tuple[Offer, ...] = ()


def answer_in_words(asked: Asked, result: Result) -> Answer:
    """Return what the result of a job says."""
    return _ANSWERS[asked.question](result)


def _suggest(result: Result) -> Answer:
    found = result["suggestions"]
    rows = tuple((one["image"], one["reason"]) for one in found)
    count = "this image" if len(rows) == 1 else f"these {len(rows)} images"
    return Answer(
        f"Annotate {count} next. They are marked ★ in section Images.",
        table=Table(("image", "why"), rows, tuple(one["image"] for one in found)),
    )


def _check(result: Result) -> Answer:
    problems, advice = tuple(result["problems"]), tuple(result["advice"])
    compared = result["comparison"]
    headline = "Your data are fine."
    if problems:
        headline = f"{count_of(len(problems), 'thing')} to put right before a training."
    elif advice:
        headline = f"Nothing is wrong, but {count_of(len(advice), 'thing')} could be better."
    if compared and _differs(compared):
        headline += f" The images differ from those of {compared['model']}."
    factor = compared and compared["scale_factor"]
    offers = (Offer("rescale", f"Use factor {factor:g}", factor),) if factor and factor != 1 else ()
    sentences = (*problems, *advice, *(compared["verdict"] if compared else ()))
    return Answer(headline, sentences, is_warning=bool(problems), table=_check_table(result), offers=offers)


def _check_table(result: Result) -> Table:
    compared = result["comparison"] or {}
    base, new = compared.get("base") or {}, compared.get("new") or {}
    objects = [one["objects"] for one in result["images"] if one["objects"] is not None]
    brightest = [_or_dash(_brightest(of), percent) for of in (new, base)]
    rows = [
        ("images", str(len(result["images"]) + len(result["not_annotated"])), _or_dash(base.get("images"), str)),
        ("with a mask", str(sum(one["mask"] is not None for one in result["images"])), "–"),
        ("objects", str(sum(objects)) if objects else "–", "–"),
        ("share of objects", *(_or_dash(of, percent) for of in (result["mean_foreground"], base.get("foreground")))),
        ("width of objects, px", *(_or_dash(of.get("object_width_px"), _whole) for of in (new, base))),
        ("brightest, of full range", *brightest),
    ]
    shifts = tuple(
        (f"change of {what}*", f"{compared[key]:.2f}", "–") for what, key in _SHIFTS if compared.get(key) is not None
    )
    note = f"* in brightness, after normalization: {DIFFERS:g} is much." if shifts else ""
    return Table(("", "here", compared.get("model", "model")), (*rows, *shifts), note=note)


def _differs(compared: Result) -> bool:
    """Tell whether intensities or sizes are other than the model's; without masks, whole images count."""
    parts = ("overall_shift",) if compared["object_shift"] is None else ("object_shift", "background_shift")
    is_shifted = any((compared[part] or 0) >= DIFFERS for part in parts)
    return compared["inverted"] or is_shifted or compared["scale_factor"] not in (None, 1)


def _brightest(of: Result) -> float | None:
    values = (of.get("raw") or {}).get("everywhere")
    return values[-1] if values else None


def _can_learn(result: Result) -> Answer:
    verdict = result["verdict"]
    headline = {
        "ready": "Yes, it can learn these masks.",
        "check the data": "Look at the masks and images first.",
        "needs longer": "Not yet: a minute was too short.",
        "not ready": "No, not as they are.",
    }[verdict]
    rows = tuple((image, f"{dice:.2f}") for image, dice in zip(result["images"], result["dice"], strict=True))
    table = Table(("image", "Dice on it"), rows, tuple(result["images"]))
    return Answer(headline, (result["summary"],), is_warning=verdict != "ready", table=table)


def _estimate(result: Result) -> Answer:
    found: Estimation = TypeAdapter(Estimation).validate_python(result)
    headline = {
        "overestimates": "Too much: it finds more than there is.",
        "underestimates": "Too little: it misses part of what is there.",
        "balanced": "Neither: the areas agree to within 10 %.",
        "unclear": "That cannot be told from these images.",
    }[found.verdict]
    finds = found.dice >= _FINDS or found.area_ratio is None  # without a true object there is none to find
    if not finds:
        headline = f"It does not find these objects yet: Dice {found.dice:.2f}. Finetune it first."
    is_off = finds and found.verdict in ("overestimates", "underestimates")
    sentences = [bias_in_words(found), errors_in_words(found), thresholds_in_words(found) if finds else ""]
    if is_off and found.balancing_weight is not None:
        sentences.append(
            f"In a new finetuning, a penalty on false positives of {found.balancing_weight:.2f} instead of "
            f"{found.false_positive_weight:.2f} should bring it closer to balance; that is an estimate."
        )
    sentences.append(seen_in_words(found))
    rows = tuple(
        (one.image, "–" if one.area_ratio is None else f"{one.area_ratio:.2f} ×", f"{one.dice:.2f}")
        for one in found.images
    )
    table = Table(("image", "area", "Dice"), rows, tuple(one.image for one in found.images))
    offers = tuple(_balancing(found)) if is_off else ()
    return Answer(headline, tuple(filter(None, sentences)), is_off or not finds, table, offers)


def _balancing(found: Estimation) -> Iterable[Offer]:
    """Yield what would balance the areas, a threshold only if it can be set."""
    threshold = found.balanced_threshold
    if threshold is not None and _LOWEST_THRESHOLD <= threshold <= _HIGHEST_THRESHOLD:
        yield Offer("threshold", f"Use threshold {threshold:.2f}", round(threshold, 2))
    weight = found.balancing_weight
    if weight is not None and weight != found.false_positive_weight:
        yield Offer("penalty", f"Use penalty {weight:.2f}", weight)


def _cross_validate(result: Result) -> Answer:
    dice = result["dice"]
    between = "" if dice["low"] is None else f" ({dice['low']:.2f} to {dice['high']:.2f})"
    rows = tuple(
        (one["image"], f"{one['raw_dice']:.2f}", f"{one['dice']:.2f}", _or_dash(one["area_ratio"], _times))
        for one in result["scores"]
    )
    table = Table(("image", "base", "finetuned", "area"), rows, tuple(one["image"] for one in result["scores"]))
    headline = f"Dice {dice['value']:.2f}{between} on images it has not seen."
    return Answer(headline, (result["summary"],), is_warning=result["stopped"], table=table)


def _forecast(result: Result) -> Answer:
    verdict = result["verdict"]
    headline = {
        "worth it": "Yes, more images are likely to help.",
        "perhaps": "Perhaps: more images may help, or add little.",
        "little": "Hardly: more images are likely to add little.",
        "cannot say": "That cannot be said yet.",
    }[verdict]
    rows = tuple((str(one["count"]), f"{one['dice']:.3f}", str(one["seeds"])) for one in result["points"])
    return Answer(headline, (result["summary"],), table=Table(("images", "Dice", "trainings"), rows))


def _report(result: Result) -> Answer:
    tables = count_of(len(result["tables"]), "table")
    return Answer(
        "The report is incomplete: it was stopped." if result["stopped"] else "The report is written.",
        (f"{result['page']}, with {tables} beside it.",),
        is_warning=result["stopped"],
        offers=(Offer("open", "Open", result["page"]),),
    )


_ANSWERS: dict[Question, Callable[[Result], Answer]] = {
    "suggest": _suggest,
    "check": _check,
    "can_learn": _can_learn,
    "estimate": _estimate,
    "cross_validate": _cross_validate,
    "forecast": _forecast,
    "report": _report,
}


def _or_dash(value: Any, form: Callable[[Any], str]) -> str:
    return "–" if value is None else form(value)


def _whole(value: float) -> str:
    return f"{value:.0f}"


def _times(value: float) -> str:
    return f"{value:.2f} ×"
