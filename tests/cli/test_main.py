"""The command as a process: quick to answer, and readable on any terminal."""

import os
import subprocess
import sys

import pytest
import typer

import napari_unet_finetune as nuf
from napari_unet_finetune.cli import app

COMMANDS = sorted(typer.main.get_command(app).commands)
HELP = """
import sys
from napari_unet_finetune.cli import main
sys.argv[1:] = [sys.argv[1], "--help"]
try:
    main()
finally:
    print(*(name for name in ("torch", "scipy", "skimage", "matplotlib") if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=" ".join)
def test_help_of_every_command_reads_well(invoke, command):
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout
    assert "Traceback" not in result.output


def test_the_version_is_that_of_the_package(invoke):
    result = invoke("--version")
    assert (result.exit_code, result.stdout.split()) == (0, ["unet-finetune", nuf.__version__])


def test_help_does_not_wait_for_torch():
    outcome = subprocess.run([sys.executable, "-c", HELP, "curve"], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0
    assert "--counts" in outcome.stdout
    assert outcome.stderr.split() == []


def test_the_package_can_be_run_and_a_terminal_without_arrows_is_no_reason_to_fail(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "napari_unet_finetune", "check", "--images", str(tmp_path / "größe")]
    outcome = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert outcome.returncode == 1
    assert "gr??e: there is no such folder" in outcome.stderr
    assert outcome.stdout == ""
    usage = subprocess.run(command[:3], capture_output=True, text=True, env=environment, check=False)
    assert "Usage: unet-finetune [OPTIONS] COMMAND" in usage.stdout + usage.stderr
