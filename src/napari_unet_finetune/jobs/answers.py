"""Answers that are kept: what was asked and what came of it, in the folder of the job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from ..checked_json import parse_json
from ..checks.checkup import Checkup
from ..errors import RunError
from ..evaluation.areas import Estimation
from ..learning_curve.forecast import Forecast
from ..project.question_plan import Asked, Question
from ..questions.can_learn import CanLearn
from ..questions.cross_validate import CrossValidation
from ..report.files import ReportFiles
from ..result import Result
from ..runs.folder import RunFolder
from ..runs.history import PastRun
from ..runs.request import RESULT, write_result
from ..suggest.suggestion import Suggestions

RESULTS: dict[Question, type[Result]] = {
    "suggest": Suggestions,
    "check": Checkup,
    "can_learn": CanLearn,
    "estimate": Estimation,
    "cross_validate": CrossValidation,
    "forecast": Forecast,
    "report": ReportFiles,
}


A = TypeVar("A", bound=Result)


def read_result(file: Path, kind: type[A]) -> A:
    """Return the result of `kind` that a job wrote into `file`.

    Raises
    ------
    RunError
        If it cannot be read.
    """
    try:
        found: A = parse_json(file.read_bytes(), kind)
    except (OSError, ValueError) as error:
        raise RunError(f"{file.parent}: the answer cannot be read. Ask again.") from error
    return found


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
    def result(self) -> Result:
        """What came of it."""
        return read_result(self.folder / RESULT, RESULTS[self.asked.question])

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
        write_result(folder, result)
    asked.keep(folder)
    return KeptAnswer(folder)


def last_answers(folders: Iterable[Path]) -> dict[Question, KeptAnswer]:
    """Return the last answer to each question in `folders`, given newest first; unreadable ones are passed over."""
    found: dict[Question, KeptAnswer] = {}
    for folder in folders:
        kept = KeptAnswer(folder)
        try:
            if kept.asked.question not in found:
                _ = kept.result
                found[kept.asked.question] = kept
        except RunError:
            continue
    return found
