"""What a user can put right: every message says what is wrong, where, and what to do."""

import errno

from .text import printable


class FinetuneError(Exception):
    """Base of all errors whose message is meant for the user; it is one line, whatever names and values it holds."""

    def __str__(self) -> str:
        """Return the message."""
        return printable(super().__str__())


class DataError(FinetuneError):
    """An image, a mask or a folder of them cannot be used as it is."""


class ModelError(FinetuneError):
    """A model file is missing, damaged, foreign or of a newer version."""


class RunError(FinetuneError):
    """A run cannot start, go on or be resumed."""


class DeviceError(FinetuneError):
    """The chosen device is absent or out of memory."""


NO_MEMORY = (
    "There is not enough memory for this. Close other programs, or choose smaller images, a smaller patch size or a "
    "smaller batch."
)
_NO_MEMORY = (
    *("out of memory", "not enough memory", "allocate memory"),
    *("failed to map segment", "start new thread"),  # of libraries and threads for which there is no room
    *("could not create a primitive", "could not execute a primitive"),  # all that oneDNN says of it
    "paging file is too small",  # of libraries, on Windows
)


def lacks_memory(error: BaseException) -> bool:
    """Tell a lack of memory from other faults; MPS, CPU and the loader of libraries have no exception of their own."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError | ImportError | OSError) and any(word in str(error) for word in _NO_MEMORY)
