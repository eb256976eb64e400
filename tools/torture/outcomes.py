"""How cases ended, counted, and the memory they took."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from napari_unet_finetune.errors import FinetuneError

MIB = 2**20


@dataclass
class Table:
    """Cases of one kind: how many ended in which way, and those that ended otherwise than they should."""

    title: str
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    peak_mib: int = 0
    most_mib: int = 0

    def run(self, name: str, case: Callable[[], str | None]) -> None:
        """Carry out `case`, which returns how it ended or raises; only a sentence for the user may be raised."""
        try:
            self.counts[case() or "ok"] += 1
        except FinetuneError as error:
            sentence = str(error)
            self.counts["refused"] += 1
            if "\n" in sentence.strip() or not sentence or len(sentence) > 2000:
                self.wrong.append(f"{name}: not one sentence: {sentence[:200]!r}")
        except Exception:
            self.counts["traceback"] += 1
            self.wrong.append(f"{name}: {''.join(traceback.format_exc()[-900:])}")

    def __str__(self) -> str:
        """Return the table as text."""
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.counts.items()))
        lines = [f"{self.title}: {sum(self.counts.values())} cases: {counts}; {len(self.wrong)} wrong"]
        if self.most_mib:
            lines[0] += f"; memory grew by {self.peak_mib} MiB at most, {self.most_mib} MiB allowed"
        return "\n  ".join(lines + [one.strip().replace("\n", "\n    ") for one in self.wrong[:5]])


def resident_mib() -> int:
    """Return the most memory that this process has had so far, 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    peak = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) // 1024
