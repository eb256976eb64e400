"""Pick the device and the number format of a computation."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from .config import DeviceName, PrecisionName
from .errors import DeviceError

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
        name = next(present for present in ("cuda", "mps", "cpu") if _PRESENT[present]())  # type: ignore[assignment]
    if not _PRESENT[name]():
        raise DeviceError(f"Device '{name}' is not present on this computer. Choose 'auto' or 'cpu'.")
    return torch.device(name)


def autocast(device: torch.device, precision: PrecisionName) -> torch.autocast:
    """Return the context in which a forward pass runs in `precision` (fp32 or bf16)."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def pick_precision(name: PrecisionName, device: torch.device, run: Callable[[], object]) -> PrecisionName:
    """Return `name`, or for `auto` the faster of fp32 and bf16 for `run`, timed on `device`.

    `run` is called a few times in each precision and must have no lasting effect.
    """
    if name != "auto":
        return name
    if device.type == "mps" or (device.type == "cuda" and not torch.cuda.is_bf16_supported()):
        return "fp32"
    if device.type == "cpu" and not _cpu_has_bf16():
        return "fp32"
    return "bf16" if _seconds(run, device, "bf16") < _seconds(run, device, "fp32") else "fp32"


def _cpu_has_bf16() -> bool:
    """Tell whether the CPU multiplies bf16 in hardware; elsewhere it is emulated and slow."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def _seconds(run: Callable[[], object], device: torch.device, precision: PrecisionName) -> float:
    def once() -> float:
        start = time.perf_counter()
        with autocast(device, precision):
            run()
        synchronize(device)
        return time.perf_counter() - start

    once()
    return min(once() for _ in range(2))


def synchronize(device: torch.device) -> None:
    """Wait until `device` has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def free_memory(device: torch.device) -> None:
    """Give unused cached memory back to `device`."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
