"""The device and the number format are chosen by what is there and what pays."""

import time

import pytest
import torch

from napari_unet_finetune.device import autocast, is_out_of_memory, pick_device, pick_precision
from napari_unet_finetune.errors import DeviceError

CPU = torch.device("cpu")


@pytest.fixture
def cpu_with_bf16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


def compute(seconds):
    """Keep the processor busy."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def work(*, bf16, fp32):
    """Return a function that computes for so many seconds in each precision."""
    return lambda: compute(bf16 if torch.is_autocast_enabled("cpu") else fp32)


def test_the_cpu_is_always_present():
    assert pick_device("cpu") == CPU


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused():
    assert pick_device() == CPU
    with pytest.raises(DeviceError, match="'cuda' is not present"):
        pick_device("cuda")


def test_an_unknown_device_is_refused():
    with pytest.raises(DeviceError, match="'tpu' is not present"):
        pick_device("tpu")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_chosen_precision_is_taken_without_a_trial(precision):
    assert pick_precision(precision, CPU, lambda: pytest.fail("no trial is needed")) == precision


def test_a_cpu_that_emulates_bf16_gets_fp32_without_a_trial(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert pick_precision("auto", CPU, lambda: pytest.fail("no trial is needed")) == "fp32"


@pytest.mark.usefixtures("cpu_with_bf16")
@pytest.mark.parametrize(
    ("bf16", "fp32", "chosen"), [(0.002, 0.006, "bf16"), (0.006, 0.002, "fp32"), (0.004, 0.004, "fp32")]
)
def test_bf16_is_chosen_where_it_is_clearly_faster(bf16, fp32, chosen):
    assert pick_precision("auto", CPU, work(bf16=bf16, fp32=fp32)) == chosen


@pytest.mark.usefixtures("cpu_with_bf16")
def test_waiting_for_the_processor_does_not_count():
    def run():
        fast = torch.is_autocast_enabled("cpu")
        time.sleep(0.01 if fast else 0)
        compute(0.001 if fast else 0.004)

    assert pick_precision("auto", CPU, run) == "bf16"


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_the_forward_pass_runs_in_the_chosen_precision(precision, dtype):
    with autocast(CPU, precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("shapes cannot be multiplied"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_faults(error, expected):
    assert is_out_of_memory(error) is expected
