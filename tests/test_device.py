"""The device and the number format are chosen by what is there and what pays."""

import errno

import pytest
import torch

from napari_unet_finetune.device import autocast, pick_device, pick_precision
from napari_unet_finetune.errors import DeviceError, lacks_memory

CPU = torch.device("cpu")


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
def test_a_chosen_precision_is_taken_whatever_the_device(precision):
    assert pick_precision(precision, CPU) == precision


@pytest.mark.parametrize(
    ("capabilities", "chosen"),
    [({"amx_bf16": True}, "bf16"), ({"avx512_bf16": True}, "bf16"), ({"avx2": True, "amx_bf16": False}, "fp32")],
)
def test_a_cpu_computes_in_bf16_only_where_it_need_not_emulate_it(monkeypatch, capabilities, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert pick_precision("auto", CPU) == chosen


@pytest.mark.parametrize(("capability", "chosen"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_a_gpu_computes_in_bf16_where_it_has_tensor_cores_for_it(monkeypatch, capability, chosen):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert pick_precision("auto", torch.device("cuda")) == chosen


def test_mps_computes_in_fp32():
    assert pick_precision("auto", torch.device("mps")) == "fp32"


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
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), True),
        (OSError("[WinError 1455] The paging file is too small for this operation to complete"), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not execute a primitive"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (ValueError("not enough memory"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_faults(error, expected):
    assert lacks_memory(error) is expected
