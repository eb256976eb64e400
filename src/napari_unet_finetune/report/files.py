"""The files of a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..result import Offer, Result
from ..text import count_of


@dataclass(frozen=True)
class ReportFiles(Result):
    """The page and its tables; `stopped` says that not all images were scored."""

    page: Path
    tables: tuple[Path, ...]
    stopped: bool = False

    @property
    def headline(self) -> str:
        """Whether it is complete."""
        return "The report is incomplete: it was stopped." if self.stopped else "The report is written."

    @property
    def sentences(self) -> tuple[str, ...]:
        """Where it is."""
        return (f"{self.page}, with {count_of(len(self.tables), 'table')} beside it.",)

    @property
    def is_warning(self) -> bool:
        """Whether it is incomplete."""
        return self.stopped

    @property
    def offers(self) -> tuple[Offer, ...]:
        """To look at it."""
        return (Offer("open", "Open", self.page),)
