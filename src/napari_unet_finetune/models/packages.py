"""Packages of BioImage.IO, which are read in place: the model file that ours carry, and single files of others."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from zipfile import BadZipFile, ZipFile, ZipInfo, is_zipfile

from ..errors import ModelError
from ..text import shortened

DESCRIPTIONS = ("bioimageio.yaml", "rdf.yaml")
SUFFIX = ".safetensors"
# Weights hardly shrink; what unpacks to far more is no model. Headers do shrink, but are short.
_MOST_RATIO, _FREE_BYTES = 16, 16 * 2**20


def is_package(path: Path) -> bool:
    """Tell whether the file `path` is a zip with a description of BioImage.IO."""
    try:
        if not is_zipfile(path):
            return False
        with ZipFile(path) as archive:
            return any(name in DESCRIPTIONS for name in archive.namelist())
    except (BadZipFile, NotImplementedError, OSError, ValueError):
        return False


def is_foreign(path: Path) -> bool:
    """Tell whether the file `path` is a package without a model file of this program."""
    if not is_package(path):
        return False
    with ZipFile(path) as archive:
        return not any(name.endswith(SUFFIX) for name in archive.namelist())


def read_member(path: Path, name: str, *, at_most: int | None = None) -> bytes | None:
    """Return the file `name` in the package `path`, of so many bytes `at_most`; None if there is none.

    Raises
    ------
    ModelError
        If it is damaged, too large, or unpacks to far more than weights do.
    OSError
        If the package cannot be read.
    """
    with ZipFile(path) as archive, _tells_damage(path):
        try:
            entry = archive.getinfo(name)
        except KeyError:
            return None
        _check_size(path, entry)
        if at_most is not None and entry.file_size > at_most:
            raise _damaged(path)
        return archive.read(entry)


@contextmanager
def open_model(path: Path) -> Iterator[BinaryIO]:
    """Open the model file `path`, or the one that the package `path` carries.

    Raises
    ------
    ModelError
        If it is a package without such a file, or a damaged one.
    OSError
        If it cannot be read.
    """
    if not is_package(path):
        with path.open("rb") as file:
            yield file
        return
    with ZipFile(path) as archive:
        try:
            opened = archive.open(_attached(path, archive))
        except (BadZipFile, NotImplementedError, RuntimeError) as error:  # encrypted, or packed in another way
            raise _damaged(path) from error
        with opened as file, _tells_damage(path):
            yield cast(BinaryIO, file)


def _attached(path: Path, archive: ZipFile) -> ZipInfo:
    """Return the entry of the model file."""
    found = [entry for entry in archive.infolist() if entry.filename.endswith(SUFFIX)]
    if not found:
        raise ModelError(
            f"{path} is a package of another program. If its network is in ONNX it can predict and be compared, but "
            "not be finetuned. Choose a package that this program exported, a .safetensors model, or a PAULow .pth "
            "file."
        )
    if len(found) > 1:
        held = ", ".join(entry.filename for entry in found)
        raise ModelError(f"{path} holds several models ({shortened(held, 200)}). Choose a package with one.")
    _check_size(path, found[0])
    return found[0]


def _check_size(path: Path, entry: ZipInfo) -> None:
    if entry.file_size > _FREE_BYTES + _MOST_RATIO * entry.compress_size:
        raise _damaged(path)


@contextmanager
def _tells_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> ModelError:
    return ModelError(f"{path} is a damaged package. Copy or download it again, or choose another model.")
