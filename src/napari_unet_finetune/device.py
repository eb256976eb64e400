"""Pick the device and the number format of a computation."""

from __future__ import annotations

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
        name = next(present for present in ("cuda", "mps", "cpu") if _PRESENT[present]())
    if name not in _PRESENT or not _PRESENT[name]():
        raise DeviceError(f"Device '{name}' is not present on this computer. Choose 'auto' or 'cpu'.")
    return torch.device(name)


def autocast(device: torch.device, precision: PrecisionName) -> torch.autocast:
    """Return the context in which a forward pass runs in `precision` (fp32 or bf16)."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def pick_precision(name: PrecisionName, device: torch.device) -> PrecisionName:
    """Return `name`, or for `auto` bf16 where `device` multiplies it in hardware, else fp32.

    Decided by what the hardware can do and not by a stopwatch, so that the same run chooses the same again.
    """
    if name != "auto":
        return name
    return "bf16" if _HAS_FAST_BF16[device.type](device) else "fp32"


def _cpu_has_bf16(_device: torch.device) -> bool:
    """Tell whether the CPU multiplies bf16 in hardware; elsewhere it is emulated and slow."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def _cuda_has_bf16(device: torch.device) -> bool:
    """Tell whether the GPU has tensor cores for bf16 (Ampere and later)."""
    return torch.cuda.get_device_capability(device) >= (8, 0)


_HAS_FAST_BF16: dict[str, Callable[[torch.device], bool]] = {
    "cpu": _cpu_has_bf16,
    "cuda": _cuda_has_bf16,
    "mps": lambda _device: False,
}


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
