"""What a question or a job finds: one frozen object that knows its words, its table and its JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .checked_json import json_values

# A text of more characters in a table is read as text: it stands on the left and may wrap.
LONG_TEXT = 24


@dataclass(frozen=True)
class ResultTable:
    """Rows of text under titles; those of a table `of_images` begin with the name of an image."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    of_images: bool = False
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Offer:
    """Something the user may do with a result, and the value it takes."""

    kind: Literal["rescale", "threshold", "penalty", "open"]
    text: str
    value: Any


@dataclass(frozen=True)
class FailedFile:
    """A file of several that could not be used, and why."""

    file: Path
    reason: str


class Result(ABC):
    """Base of all results, each of which is a frozen dataclass.

    Terminal, docks and reports show these properties, and none of them words a result again.
    """

    @property
    @abstractmethod
    def headline(self) -> str:
        """The answer in one sentence."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is behind it."""
        return ()

    @property
    def summary(self) -> str:
        """All of that as one paragraph."""
        return " ".join(self.sentences)

    @property
    def is_warning(self) -> bool:
        """Whether the user should look twice."""
        return False

    @property
    def table(self) -> ResultTable | None:
        """The numbers, if there are any."""
        return None

    @property
    def offers(self) -> tuple[Offer, ...]:
        """What can be done about it."""
        return ()

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values, which `checked_json.checked` turns back into the result."""
        values: dict[str, Any] = json_values(self)
        return values
