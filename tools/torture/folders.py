"""Damaged folders of trainings and studies, taken up by `resume`, `report` and `curve`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from napari_unet_finetune.events import drain
from napari_unet_finetune.learning_curve.folder import StudyFolder
from napari_unet_finetune.learning_curve.run import run_study
from napari_unet_finetune.report.write import report
from napari_unet_finetune.runs.execute import run_here
from napari_unet_finetune.runs.folder import RunFolder
from torture import mutations
from torture.frozen import INTERRUPTED, RUN, STUDY
from torture.outcomes import Table

_ASKED = 4  # times that a job may go on before it is stopped


def taken_up(frozen: Path, kind: str, work: Path, table: Table, count: int, rng: Random) -> None:
    """Damage `count` folders, take each up as `kind` says, and count how that ends."""
    sources, take_up = KINDS[kind]
    folder = work / "run"
    for number in range(count):
        source = sources[number % len(sources)]
        shutil.copytree(frozen / source, folder)
        name = f"{source.name} {number}, {damage(rng, folder)}"
        table.run(name, partial(_carried_out, take_up, folder))
        shutil.rmtree(folder)


def _carried_out(take_up: Callable[[Path], object], folder: Path) -> str:
    take_up(folder)
    return "taken up"


def damage(rng: Random, folder: Path) -> str:
    """Damage one or two files in `folder` and say which and how."""
    return ", ".join(_damage_one(rng, folder) for _ in range(rng.choice((1, 1, 1, 2))))


def _damage_one(rng: Random, folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    suffix = rng.choice([".json", ".json", *sorted({path.suffix for path in files})])
    file = rng.choice([path for path in files if path.suffix == suffix] or files)
    how = rng.choice(("gone", "a folder", "a circle", "another", *["changed"] * 12))
    sound = file.read_bytes()
    if how in ("gone", "a folder", "a circle"):
        file.unlink()
    match how:
        case "gone":
            pass
        case "a folder":
            file.mkdir()
        case "a circle":
            file.symlink_to(file.name)
        case "another":
            file.write_bytes(rng.choice(files).read_bytes())
        case _:
            file.write_bytes(_changed(rng, file.suffix, sound) if sound else b"?")
    return f"{file.relative_to(folder)} {how}"


def _changed(rng: Random, suffix: str, sound: bytes) -> bytes:
    change = {".json": mutations.changed_json, ".jsonl": mutations.changed_lines}.get(suffix, mutations.changed_bytes)
    try:
        return change(rng, sound)
    except ValueError:  # damaged before
        return mutations.changed_bytes(rng, sound)


def _soon() -> Callable[[], bool]:
    """Return what lets a job begin, and stops it soon."""
    asked: list[None] = []

    def should_stop() -> bool:
        asked.append(None)
        return len(asked) > _ASKED

    return should_stop


def _resume(folder: Path) -> None:
    drain(run_here(RunFolder(folder), should_stop=_yes))


def _report(folder: Path) -> None:
    drain(report(folder, folder.with_name("report.html"), should_stop=_yes))


def _continue(folder: Path) -> None:
    drain(run_study(StudyFolder(folder).plan, folder, should_stop=_soon()))


def _yes() -> bool:
    return True


# Folders to damage, and what takes them up.
KINDS: dict[str, tuple[tuple[Path, ...], Callable[[Path], None]]] = {
    "runs that are resumed": ((INTERRUPTED,), _resume),
    "folders that are reported": ((RUN, STUDY), _report),
    "studies that go on": ((STUDY,), _continue),
}
