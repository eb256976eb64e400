"""What docs/reference.md says of `--json` and of the model file is what is there."""

import json
import re
from pathlib import Path

import pytest
from safetensors import safe_open

from .conftest import TINY

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"
CPU = ["--device", "cpu"]


def keys_in_the_reference(command: str) -> set[str]:
    """Return the keys of a row of the table "JSON output", without those in brackets."""
    table = REFERENCE.read_text(encoding="utf-8").partition("## JSON output")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*) \| (`.*) \|$", table, re.MULTILINE)
    (keys,) = (keys for commands, keys in rows if f"`{command}`" in commands)
    return set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", keys)))


@pytest.fixture(scope="module")
def datasets(tmp_path_factory, write_squares):
    data = tmp_path_factory.mktemp("datasets")
    return ["--dataset1", write_squares(data / "old", 4), "--dataset2", write_squares(data / "new", 6, bright=False)]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("check", ["DATA"]),
        ("suggest", ["IMAGES", "--model", "MODEL", "--count", "2"]),
        ("can-learn", ["DATA", "--model", "MODEL", *CPU, "--set", "patch_size=32", "--steps", "1"]),
        ("cross-validate", ["DATA", "--model", "MODEL", *TINY, "--folds", "2"]),
        ("estimate", ["DATA", "--model", "MODEL", *CPU]),
        ("evaluate", ["DATA", "--model", "MODEL", *CPU]),
        ("models", []),
        ("settings", []),
    ],
)
def test_a_command_prints_the_keys_of_the_reference(answer, data, model, command, arguments):
    filled = {"DATA": data, "IMAGES": data[:2], "MODEL": [model]}
    values = answer(command, *(part for one in arguments for part in filled.get(one, [one])))[1]
    assert set(values) == keys_in_the_reference(command)


def test_training_and_what_follows_print_the_keys_of_the_reference(answer, data, model, tmp_path):
    run, labels = tmp_path / "run", tmp_path / "labels"
    for command, arguments in (
        ("finetune", [*data, "--model", model, "--out", run, *TINY]),
        ("report", [run, *CPU]),
        ("predict", [*data[:2], "--model", model, "--out", labels, *CPU]),
        ("measure", [*data[:2], "--labels", labels, "--out", tmp_path / "objects.csv"]),
        ("export", [run / "model.safetensors", "--out", tmp_path / "model.pt"]),
    ):
        assert set(answer(command, *arguments)[1]) == keys_in_the_reference(command), command
    with safe_open(run / "model.safetensors", "np") as file:
        described = json.loads(file.metadata()["napari_unet_finetune"])
    page = REFERENCE.read_text(encoding="utf-8").partition("## The model file")[2]
    assert [key for key in (*described, *described["provenance"]) if f"`{key}`" not in page] == []


def test_a_study_and_its_forecast_print_the_keys_of_the_reference(answer, datasets, tmp_path, model):
    study = tmp_path / "study"
    small = ["--counts", "0,2,4", "--seeds", "1", "--test1", "1", "--test2", "2", "--base", model, *TINY]
    assert set(answer("curve", *datasets, "--out", study, *small)[1]) == keys_in_the_reference("curve")
    assert set(answer("forecast", study)[1]) == keys_in_the_reference("forecast")
