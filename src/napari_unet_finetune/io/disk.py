"""Write files so that a crash, a full disk or a kill leaves no half of one, and one writer at a time in a folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from ..errors import DataError, FinetuneError, RunError
from ..text import printable

Stamp = tuple[int, int]
NO_FILE: Stamp = (0, 0)


def file_stamp(path: Path | None) -> Stamp:
    """Return length and time of a file; either differs after a change. `NO_FILE` if it is not there."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return NO_FILE
    return NO_FILE if found is None else (found.st_size, found.st_mtime_ns)


def is_file(path: Path) -> bool:
    """Tell whether `path` is a file; what no file can be called, or a link that leads in a circle, is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def file_identity(path: Path) -> tuple[int, ...]:
    """Return what differs of a file that was written anew by `atomic_write`, even within one tick of the clock."""
    try:
        found = path.stat()
    except OSError:
        return NO_FILE
    return found.st_size, found.st_mtime_ns, found.st_ino


def check_crc(path: Path) -> None:
    """Compare the checksums in a zip, such as torch writes; torch itself does not look at them.

    Raises
    ------
    OSError
        If the file cannot be read.
    zipfile.BadZipFile
        If a part of it is not what was written; zlib and struct have errors of their own for that.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(damaged)


_MOST_HASHES = 1024


def file_hash(path: Path) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits; it is not read again while its identity stays.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    try:
        return _file_hash(path, file_identity(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Check that it is still there.") from error


@lru_cache(maxsize=_MOST_HASHES)
def _file_hash(path: Path, _identity: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


PARTIAL_SUFFIX = ".partial"
_OURS = re.compile(rf"\.[0-9a-f]{{16}}{re.escape(PARTIAL_SUFFIX)}")


def atomic_write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file in the folder of `path`, flush it to disk and rename it to `path`.

    A file that was there before stays as it is until the new one is complete. The folder is made if it is missing.

    Raises
    ------
    OSError
        If the folder or the disk does not take the file; the caller knows what it was and says so.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}{PARTIAL_SUFFIX}")  # no longer for a long name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fill(partial, write)
        put_in_place(partial, path)
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


# Windows lets nobody rename what another program looks at: virus scanners look at new files for a moment.
_IN_USE = (5, 32)  # access denied, sharing violation
_TRIES, _PAUSE_S = 20, 0.05


def put_in_place(partial: Path, path: Path) -> None:
    """Rename `partial` to `path`, in the place of what is there; on Windows, wait a second for who looks at either.

    Raises
    ------
    OSError
        If the system does not do it.
    """
    for _ in range(_TRIES):
        try:
            partial.replace(path)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _IN_USE:
                raise
        time.sleep(_PAUSE_S)
    partial.replace(path)


def path_within(folder: Path, file: Path) -> str:
    """Return how to write down where `file` is for whoever knows `folder`, so that both may move together.

    It has slashes on every system. Of another drive of Windows no path leads there, so that it is absolute.
    """
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:
        return file.absolute().as_posix()


def write_file(
    path: Path, content: str | bytes | Callable[[BinaryIO], object], *, error: type[FinetuneError] = DataError
) -> None:
    """Write `content`, or let it write, as `atomic_write` does; what the user can put right is said in a sentence.

    Raises
    ------
    FinetuneError
        An `error`, if the folder or the disk does not take the file.
    """
    # A name that is no UTF-8 must not throw a finished page or table away; in JSON the escape is that of JSON itself.
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    try:
        atomic_write(path, data if callable(data) else lambda file: file.write(data))
    except OSError as found:
        raise error(not_written(path, found)) from found


def check_suffix(path: Path, *suffixes: str) -> None:
    """Refuse to write over a file of another kind, be it there or not: a slip of the hand may name an image.

    Raises
    ------
    DataError
        If `path` ends in none of `suffixes`.
    """
    if path.suffix.lower() not in suffixes:
        raise DataError(f"{path}: this file must end in {' or '.join(suffixes)}. Choose such a name.")


def take_room(file: BinaryIO, size: int) -> None:
    """Have the disk keep room for `size` bytes of an open file that is to be filled through memory.

    A file with holes would end the process once the disk is full. Raises `OSError` if there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)


def not_written(path: Path, error: OSError) -> str:
    """Return the sentence for a file that the folder or the disk does not take."""
    reason = error.strerror or "the disk did not take it"  # tifffile gives no error number for a full disk
    return f"{path} cannot be written ({reason}). Free some space or choose another folder."


def remove_partial(folder: Path, *, older_than_s: float = 0) -> None:
    """Remove what writers that were killed left in `folder`; those that may still write there must not be so old.

    A file from the future, which a clock that was set back leaves, is as old.
    """
    for partial in folder.glob(f".*{PARTIAL_SUFFIX}"):
        if _OURS.fullmatch(partial.name) and abs(time.time() - file_stamp(partial)[1] / 1e9) >= older_than_s:
            partial.unlink(missing_ok=True)


def _fill(partial: Path, write: Callable[[BinaryIO], object]) -> None:
    with partial.open("x+b") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last; Windows and some network disks have no such call and need none."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_DEVICES = r"con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d\u00b9\u00b2\u00b3]"  # of Windows, which has no such files
_LONGEST_STEM = 120  # bytes; with what is added when a mask is put aside it must fit into the 255 of file systems


def file_stem(name: str) -> str:
    """Return `name` as it can stand in a file name on every system; what had to be changed gets a mark of its own."""
    name = printable(name)
    safe = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f]', "_", name).strip(". ") or "_"
    if re.fullmatch(rf"({_DEVICES}) *(\..*)?", safe, re.IGNORECASE):
        safe = f"_{safe}"
    short = safe.encode()[:_LONGEST_STEM].decode(errors="ignore")
    return name if short == name else f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


LOCK, PASSING_LOCK = "working.lock", ".working.lock"
_HELD_SUFFIX, _SECOND_LOOK_S = ".held", 0.2
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP})


def acquired_lock(file: Path, wait_s: float) -> BaseFileLock:
    """Return a lock that nobody else holds, within this process or beyond, as soon as it is free.

    The operating system keeps it, until the process ends. A network disk may have no locks: there, a file beside it is
    the lock while it exists, and names computer and process. It is taken over from a process that is dead, which only
    its own computer can tell.

    Raises
    ------
    Timeout
        If it was not free for `wait_s` seconds.
    OSError
        If `file` cannot be written.
    """
    lock: BaseFileLock = FileLock(file, timeout=wait_s, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        # `file` stays and is no lock here. What the dead have left is removed at the first look, and free at the next.
        lock = SoftFileLock(_held_file(file), timeout=max(wait_s, _SECOND_LOOK_S), thread_local=False)
        lock.acquire()
    return lock


def _held_file(file: Path) -> Path:
    return file.with_name(file.name + _HELD_SUFFIX)


def _held(file: Path) -> str:
    """Return who holds a lock that is a file, and what to do if that is not true, as a sentence."""
    held = _held_file(file)
    try:
        process, host = held.read_text(encoding="utf-8", errors="replace").splitlines()[:2]
    except (OSError, ValueError):
        return ""
    host = host.partition("?")[0]  # what follows tells containers apart
    return f" It is process {process} on {host}; if nothing runs there any more, delete {held}."


@contextlib.contextmanager
def locked(
    folder: Path, *, name: str = LOCK, error: type[FinetuneError] = RunError, wait_s: float = 0
) -> Iterator[None]:
    """Hold `folder`, made if missing, so that nobody else works in it; the lock ends with the process, its file stays.

    Somebody who works there is waited for as long as `wait_s`.

    It is that of `acquired_lock`. In a folder that is not ours the file is called `PASSING_LOCK`, is hidden, and does
    not stay.

    Raises
    ------
    FinetuneError
        An `error`, if somebody works in the folder, be it this very process, or if it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = acquired_lock(folder / name, wait_s)
    except Timeout:
        raise error(
            f"{folder}: this folder is being worked on already. Wait for that to end, or stop it.{_held(folder / name)}"
        ) from None
    except OSError as found:
        raise error(f"{folder}: the folder cannot be written ({found.strerror}). Choose another one.") from found
    try:
        yield
    finally:
        if name == PASSING_LOCK:
            with contextlib.suppress(OSError):  # on Windows it goes when it is released
                (folder / name).unlink(missing_ok=True)
        lock.release()
