"""The model file in a package of BioImage.IO, which is read in place; nothing else of a package is looked at."""

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
    if len(found) != 1:
        held = ", ".join(entry.filename for entry in archive.infolist())
        raise ModelError(
            f"{path} is a package of another program: it carries no model file of this one, but "
            f"{shortened(held, 200)}. Choose a package that this program exported."
        )
    if found[0].file_size > _FREE_BYTES + _MOST_RATIO * found[0].compress_size:
        raise _damaged(path)
    return found[0]


@contextmanager
def _tells_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (BadZipFile, EOFError, zlib.error) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> ModelError:
    return ModelError(f"{path} is a damaged package. Copy or download it again, or choose another model.")
