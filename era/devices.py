"""Which device to compute on, and what a person calls it."""

import torch


def choose_device(override: str | None = None) -> str:
    """Return `override`, or the first of cuda, mps and cpu that this machine has.

    Raises:
        ValueError: if the override is not a device that torch can use here.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if override is None:
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available.get(override.split(":")[0], False):
        usable = ", ".join(name for name, is_there in available.items() if is_there)
        raise ValueError(f"The device {override!r} is not available here. Set ERA_DEVICE to one of: {usable}.")
    return override


def describe_device(device: str) -> str:
    """Return what a person calls the device, such as `NVIDIA H100` or `CPU (2 threads)`."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(torch.device(device))
    if device.startswith("mps"):
        return "Apple GPU"
    return f"CPU ({torch.get_num_threads()} threads)"
