"""JSON in and out: types are checked once, where a text is read; names that are no Unicode survive both ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from .text import shortened

# What numbers in files may be, so that whoever computes with them or shows them need not ask again.
Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Score = Annotated[float, Field(ge=-0.01, le=1.01, allow_inf_nan=False)]  # a mean may be rounded to beyond 0 or 1


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def json_text(value: Any, kind: Any = None, *, indent: int | None = None, **options: Any) -> str:
    """Return `value`, of `kind` if its class does not tell, as JSON; `options` are those of pydantic's dump.

    Names of files that are no UTF-8 stay as Python has them, and are escaped as JSON when the text is encoded with
    ``backslashreplace``.
    """
    return json.dumps(json_values(value, kind, **options), ensure_ascii=False, indent=indent)


def json_values(value: Any, kind: Any = None, **options: Any) -> Any:
    """Return `value`, of `kind` if its class does not tell, as JSON values; `options` are those of pydantic's dump."""
    return _adapter(kind or type(value)).dump_python(value, mode="json", **options)


def parse_json(text: bytes | str, kind: Any) -> Any:
    """Return what `text` holds as `kind`.

    Raises
    ------
    ValueError
        If it holds something else; the message says in a few words what.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    return checked(values, kind)


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Return where the first thing lies that is wrong, such as ``config.steps``, and what is, each on one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    return shortened(".".join(map(str, first["loc"])), 60), shortened(first["msg"], 300)


def checked(values: Any, kind: Any) -> Any:
    """Return JSON values as `kind`; raises `ValueError` if they are something else."""
    try:
        return _adapter(kind).validate_python(values)
    except ValidationError as error:
        where, what = first_fault(error)
        raise ValueError(f"{where}: {what}" if where else what) from error
    except (AttributeError, KeyError, RecursionError, TypeError) as error:  # from what reads older forms
        raise ValueError("something is missing in it") from error
