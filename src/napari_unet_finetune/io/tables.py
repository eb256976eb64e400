"""Tables as CSV, in which a spreadsheet sees no formulas."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..text import without_exponent

# What a spreadsheet takes for a formula where a cell begins, whatever blanks are before it and however wide the sign;
# an apostrophe makes it text. A cell also begins after a semicolon, tab or new line within a text: where semicolons
# separate cells, quotes further on in a line are nothing but signs.
_FORMULA = re.compile(r"(\A|[;\t\r\n])(?=[\s\x00-\x1f\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20])|\A(?=[\t\r])")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a table with its header; what a row lacks stays empty, and text like a formula gets an apostrophe."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writerow({name: _harmless(name) for name in columns})
    for row in rows:
        writer.writerow({name: _cell(row.get(name)) for name in columns})
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return numbers without an exponent, which is text to some spreadsheets, and text that is no formula."""
    if isinstance(value, float):
        return without_exponent(repr(float(value)))
    return _harmless(value) if isinstance(value, str) else value


def _harmless(text: str) -> str:
    return _FORMULA.sub(r"\1'", text)
