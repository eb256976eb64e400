"""How far a job is, in a few words."""

from __future__ import annotations

from ..progress import RunProgress

_DEVICES = {"cpu": "CPU", "cuda": "GPU (CUDA)", "mps": "GPU (Apple)"}
_NUMBERS = {"fp32": "single precision", "bf16": "half precision"}


def position(progress: RunProgress, *, is_paused: bool = False, is_stopping: bool = False) -> str:
    """Return what to write on a progress bar."""
    if is_stopping:
        return "Stopping…"
    where = ", ".join(filter(None, (_part(progress), _inside(progress))))
    if is_paused:
        return f"Paused: {where[:1].lower()}{where[1:]}" if where else "Paused"
    left = progress.seconds_left
    if progress.steps and progress.step >= progress.steps:
        return f"{where} · finishing…"
    return f"{where} · {duration(left)} left" if where and left is not None else where or "Starting…"


def scores(progress: RunProgress) -> str:
    """Return how the Dice on held-out images has changed; empty while it is not known."""
    raw, best = progress.raw_dice, progress.best_dice
    if best is None:
        return "" if raw is None else f"Dice on held-out images: {raw:.2f} before"
    begin = "" if raw is None else f"{raw:.2f} → "
    return f"Dice on held-out images: {begin}{best:.2f} (best, step {progress.best_step})"


def place(progress: RunProgress, memory: int | None = None) -> str:
    """Return where it computes, with what numbers, and how many bytes of memory it takes."""
    device = _DEVICES.get(progress.device, progress.device)
    used = "" if memory is None else f"{memory / 1e9:.1f} GB"
    return ", ".join(filter(None, (device, _NUMBERS.get(progress.precision, progress.precision), used)))


def duration(seconds: float) -> str:
    """Return a time as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def about(seconds: float) -> str:
    """Return a time that was only estimated: ``about 40 s``, ``about 6 min``, ``about 2 h``."""
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def _part(progress: RunProgress) -> str:
    done, total = progress.parts
    return f"{progress.part} ({min(done + 1, total)} of {total})" if total else ""


def _inside(progress: RunProgress) -> str:
    if progress.steps:
        return f"Step {progress.step} of {progress.steps}"
    done, total = progress.images
    if total:
        return f"Image {min(done + 1, total)} of {total}"
    done, total = progress.tiles
    return f"Tile {done} of {total}" if total else ""
