"""JSON with types that are checked once, and with names of files that are no Unicode."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from napari_unet_finetune.checked_json import Count, Score, Seconds, checked, json_text, parse_json
from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.events import ImageEnd, from_json, to_json
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.runs.request import PredictRequest, read_request, write_request

LATIN = Path(os.fsdecode(b"old share/caf\xe9_001.tif"))


@dataclass(frozen=True)
class Example:
    count: Count
    score: Score = 0.5
    seconds: Seconds = 0.0
    file: Path | None = None


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[" * 200_000, "[]", "3", "null", '{"count": -1}', '{"count": 1e400}', f'{{"count": {"9" * 400}}}',
        f'{{"count": {"9" * 5000}}}', '{"count": "many"}', '{"count": [1]}', '{"count": 1, "score": NaN}', b"\xff\xfe",
        '{"count": 1, "score": Infinity}', '{"count": 1, "seconds": -1}', '{"score": 1}', '{"count": 1, "file": 3}',
    ],
)  # fmt: skip
def test_what_is_no_value_of_that_kind_is_said_in_a_few_words(text):
    with pytest.raises(ValueError, match=r"\w") as error:
        parse_json(text, Example)
    assert type(error.value) is ValueError and "\n" not in str(error.value) and len(str(error.value)) < 200


def test_what_a_newer_version_has_added_is_passed_over():
    assert checked({"count": 3, "later": [1]}, Example) == Example(3)


def test_a_name_that_is_no_utf_8_survives_the_way_through_a_file(tmp_path):
    example, file = Example(1, file=LATIN), tmp_path / "a.json"
    file.write_bytes(json_text(example).encode(errors="backslashreplace"))
    assert parse_json(file.read_bytes(), Example) == example
    assert Path(json.loads(file.read_text(encoding="utf-8"))["file"]) == LATIN


def test_events_and_requests_carry_names_as_the_file_system_has_them(tmp_path):
    event = ImageEnd(LATIN, error=f"{LATIN} cannot be read")
    assert to_json(event).isascii() and from_json(to_json(event)) == event
    request = PredictRequest(checkpoint="base", images=(ImageRef(LATIN, 2),), config=PredictConfig())
    write_request(tmp_path, request)
    assert read_request(tmp_path) == request
