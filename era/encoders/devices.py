"""Which device to compute on, what a person calls it, and what happens when its memory runs out."""

import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

logger = logging.getLogger(__name__)

_OUT_OF_MEMORY = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
_Result = TypeVar("_Result")


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


class DeviceWithFallback:
    """Runs steps on a device; from the first one on that its memory is too small for, on the CPU."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.note = ""  # one sentence for a person, if the device was left

    def run(self, step: Callable[[str], _Result]) -> _Result:
        """Return what `step` makes of a device's name; it is called again from its start if the device has to change.

        Raises:
            RuntimeError: whatever else goes wrong in a step, and on the CPU also a lack of memory.
        """
        try:
            return step(self.device)
        except RuntimeError as error:
            if self.device == "cpu" or not is_out_of_memory(error):
                raise
            logger.warning("The memory of %s is too small; going on with the CPU. %s", self.device, str(error))
        self.device = "cpu"
        self.note = "The GPU ran out of memory, so this was computed on the CPU."
        free_memory()  # not before the error, and with it what the step held, is gone
        return step(self.device)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether a device's memory was too small; not every backend of torch has a type for that."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def free_memory() -> None:
    """Give back what torch keeps of the devices' memory without using it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
