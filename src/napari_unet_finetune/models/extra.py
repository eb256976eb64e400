"""Packages that only models of other programs need, and the sentence for whoever has not installed them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ModelError

_INSTALL = 'pip install "napari-unet-finetune[share]"'


@contextmanager
def needed_for(what: str) -> Iterator[None]:
    """Explain how to get what cannot be imported inside this context.

    Raises
    ------
    ModelError
        If a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModelError(f"{what} needs the package {error.name}, which is not installed: {_INSTALL}") from error
