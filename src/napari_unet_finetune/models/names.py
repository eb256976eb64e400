"""What a model is called: as its file or, if it is the result of a run, by what that run made and when."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from ..text import count_of
from .zoo import find_model

STAMP = "%Y%m%d-%H%M%S"  # begins the names of folders of runs
RESULTS = ("model", "best")  # as runs call the files of theirs
MIX = "mix-"  # begins the names of files of models between base and result of a run; the share in percent follows
_STAMPED = re.compile(r"(\d{8}-\d{6})(?:-(.+))?")
_COUNTED = re.compile(r"(?:.*-)?(\d+)-images?(?:-(\d+))?")
_MIX = re.compile(rf"{MIX}(\d{{1,3}})(?:-(\d+))?")
_ARM = re.compile(r"(\d+)-images-seed-(\d+)")


def mix_stem(share: float) -> str:
    """Return how names of files of this `share` begin; only the very ends are called 0 and 100 percent."""
    whole = round(100 * share)
    return f"{MIX}{whole if share in (0, 1) else min(max(whole, 1), 99)}"


def when_of(folder: Path) -> str:
    """Return day and time at which the run in `folder` was begun, as its name says; else that name."""
    found = _STAMPED.fullmatch(folder.name)
    return folder.name if found is None else _when(found[1]) or folder.name


def name_of_file(model: str | Path) -> str:
    """Return how to call the model in a file, or a model that ships."""
    path = Path(model)
    if path.stem in RESULTS:
        return _name_of_run(path.absolute().parent)
    mix = _MIX.fullmatch(path.stem)
    if mix is None or not _STAMPED.fullmatch(path.absolute().parent.name):
        return path.stem
    again = f" ({mix[2]})" if mix[2] else ""
    what = "finetuned weights" if mix[1] == "100" else f"mix {mix[1]} %"
    return f"{what}{again}, {_name_of_run(path.absolute().parent)}"


def unique_names(models: Iterable[str | Path]) -> dict[str, str]:
    """Return a name for every one of `models` (files, or names of models that ship) that none of the others has.

    Those of one name are told apart by the first thing in which their paths differ, beginning at the file.
    """
    files = {str(model): (find_model(str(model)) or Path(model)).absolute() for model in models}
    plain = {file: name_of_file(file) for file in files.values()}
    by_name: dict[str, list[Path]] = {}
    for file, name in plain.items():
        by_name.setdefault(name, []).append(file)
    names = dict(plain)
    for name, alike in by_name.items():
        if len(alike) > 1:
            names |= {file: f"{name} ({place})" for file, place in _places(alike).items()}
    return {model: _settled(file, names) for model, file in files.items()}


def _settled(file: Path, names: Mapping[Path, str]) -> str:
    """Return the name of a file, with its whole path if another file happens to be called so."""
    name = names[file]
    return name if sum(other == name for other in names.values()) == 1 else f"{name} ({file})"


def _places(files: Sequence[Path]) -> dict[Path, str]:
    """Return for each of several files the part of its path that tells it from the others, or the whole path."""
    parts = {file: tuple(reversed(file.parts)) for file in files}
    for depth in range(min(map(len, parts.values()))):
        places = {file: "shipped" if find_model(file.stem) == file else of[depth] for file, of in parts.items()}
        if len(set(places.values())) == len(files):
            return places
    return {file: str(file) for file in files}


def _name_of_run(folder: Path) -> str:
    study, arm = folder.parent.parent, _ARM.fullmatch(folder.name)
    if folder.parent.name == "runs" and (arm or folder.name == "base"):
        begun = when_of(study)
        return f"{count_of(int(arm[1]), 'image')}, seed {arm[2]}, {begun}" if arm else f"base of {begun}"
    found = _STAMPED.fullmatch(folder.name)
    if found is None or not _when(found[1]):
        return folder.name
    counted = _COUNTED.fullmatch(found[2] or "")
    if counted is None:
        return ", ".join(filter(None, (found[2], _when(found[1]))))
    again = f" ({counted[2]})" if counted[2] else ""
    return f"{count_of(int(counted[1]), 'image')}, {_when(found[1])}{again}"


def _when(stamp: str) -> str:
    try:
        return f"{datetime.strptime(stamp, STAMP):%d %b %H:%M}"
    except ValueError:
        return ""
