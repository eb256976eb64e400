"""Pick the device and the number format of a computation."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from .config import DeviceName, PrecisionName
from .errors import DeviceError

# bf16 must be clearly faster: it computes less exactly, and the same run should choose the same again.
BF16_PAYS_BELOW = 0.85
TRIALS = 3

_PRESENT: dict[str, Callable[[], bool]] = {
    "cpu": lambda: True,
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
}


def pick_device(name: DeviceName = "auto") -> torch.device:
    """Return the device called `name`; `auto` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    DeviceError
        If the device is not present.
    """
    if name == "auto":
        name = next(present for present in ("cuda", "mps", "cpu") if _PRESENT[present]())
    if name not in _PRESENT or not _PRESENT[name]():
        raise DeviceError(f"Device '{name}' is not present on this computer. Choose 'auto' or 'cpu'.")
    return torch.device(name)


def autocast(device: torch.device, precision: PrecisionName) -> torch.autocast:
    """Return the context in which a forward pass runs in `precision` (fp32 or bf16)."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def pick_precision(name: PrecisionName, device: torch.device, run: Callable[[], object]) -> PrecisionName:
    """Return `name`, or for `auto` bf16 if `run` is clearly faster in it on `device`, else fp32.

    `run` is called a few times in each precision and must have no lasting effect.
    """
    if name != "auto":
        return name
    if device.type == "mps" or (device.type == "cuda" and not torch.cuda.is_bf16_supported()):
        return "fp32"
    if device.type == "cpu" and not _cpu_has_bf16():
        return "fp32"
    return "bf16" if _relative_time(run, device) < BF16_PAYS_BELOW else "fp32"


def _cpu_has_bf16() -> bool:
    """Tell whether the CPU multiplies bf16 in hardware; elsewhere it is emulated and slow."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def _relative_time(run: Callable[[], object], device: torch.device) -> float:
    """Return the time of `run` in bf16 over that in fp32: turn about, the best of each, the first ones not counted."""
    times = [(_seconds(run, device, "bf16"), _seconds(run, device, "fp32")) for _ in range(TRIALS)]
    bf16, fp32 = (min(column) for column in zip(*times[1:], strict=True))
    return bf16 / fp32 if fp32 else 1.0


def _seconds(run: Callable[[], object], device: torch.device, precision: PrecisionName) -> float:
    """Return how long `run` takes; on a CPU its own time counts, so that other programs do not decide."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    start = clock()
    with autocast(device, precision):
        run()
    synchronize(device)
    return clock() - start


def synchronize(device: torch.device) -> None:
    """Wait until `device` has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell a lack of memory from other faults; MPS and the CPU have no exception of their own."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error) for words in ("out of memory", "not enough memory", "can't allocate memory")
    )


def free_memory(device: torch.device) -> None:
    """Give unused cached memory back to `device`."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
