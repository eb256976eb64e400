"""What came of an export, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..config import ExportFormat
from ..result import Result
from .recipe import Recipe


@dataclass(frozen=True)
class Exported(Result):
    """A file for other programs, and what they must know.

    Parameters
    ----------
    out, format, size_bytes
        The file.
    recipe
        What is done before and after the network.
    patches
        Number of patches of training images in it.
    """

    out: Path
    format: ExportFormat
    size_bytes: int
    recipe: Recipe
    patches: int

    @property
    def headline(self) -> str:
        """Where it is."""
        return f"{self.out} is written."

    @property
    def sentences(self) -> tuple[str, ...]:
        """What other programs must know."""
        carried = f"The package carries patches of training images ({self.patches}), which later trainings replay."
        return (*self.recipe.remarks, *([carried] if self.patches else []))
