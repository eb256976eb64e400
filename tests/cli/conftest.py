"""The command line called within the test's own process, and small data for it."""

import json

import pytest
import torch
from typer.testing import CliRunner

from napari_unet_finetune.cli import app
from napari_unet_finetune.config import ModelConfig
from napari_unet_finetune.models.attention_unet import AttentionUNet

# A training of two steps on patches of 32 px.
TINY = [
    f"--set={change}"
    for change in ("steps=2", "patch_size=32", "batch_size=2", "validate_every=1", "precision=fp32", "device=cpu")
]


@pytest.fixture
def invoke():
    """Return a function that runs a command and returns exit code, standard output and standard error."""

    def run(*arguments):
        result = CliRunner().invoke(app, list(map(str, arguments)))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def answer(invoke):
    """Return a function that runs a command with ``--json`` and returns exit code and the one object it printed."""

    def refuse(constant):
        pytest.fail(f"{constant} is no JSON")

    def run(*arguments):
        result = invoke(*arguments, "--json")
        assert result.stdout.count("\n") == 1, result.stdout
        return result.exit_code, json.loads(result.stdout, parse_constant=refuse)

    return run


@pytest.fixture
def complaint(invoke):
    """Return a function that runs a command which must fail and returns its one sentence."""

    def run(*arguments):
        result = invoke(*arguments)
        assert result.exit_code in (1, 2), result.output
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        assert result.stderr.count("\n") == 1
        with_json = invoke(*arguments, "--json")
        assert with_json.exit_code == result.exit_code
        assert json.loads(with_json.stdout) == {"error": result.stderr.strip()}
        return result.stderr.strip()

    return run


@pytest.fixture(scope="session")
def data(squares):
    return ["--images", squares / "images", "--masks", squares / "masks"]


@pytest.fixture(scope="session")
def paulow_model(tmp_path_factory):
    """Return the file of an untrained model as PAULow saves it, for color images."""
    path = tmp_path_factory.mktemp("model") / "paulow.pth"
    torch.save(AttentionUNet(ModelConfig(width=16, in_channels=3)).state_dict(), path)
    return path
