"""The result of a job, as JSON in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..data.atomic import write_file
from ..errors import RunError
from ..events import JobEnded
from ..runs.request import RESULT


def ended(folder: Path, values: dict[str, Any]) -> JobEnded:
    """Write the result and return the event that says where it is; raises `RunError` if it cannot be written."""
    write_file(folder / RESULT, json.dumps(values, allow_nan=False), error=RunError)
    return JobEnded(folder / RESULT)
