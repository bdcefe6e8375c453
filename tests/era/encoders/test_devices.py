import weakref
from collections.abc import Callable

import pytest
import torch

from era.encoders.devices import DeviceWithFallback, choose_device, describe_device


@pytest.mark.parametrize(
    ("has_cuda", "has_mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_choose_device_takes_the_fastest_there_is(
    monkeypatch: pytest.MonkeyPatch, has_cuda: bool, has_mps: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    assert choose_device() == expected
    assert choose_device("cpu") == "cpu"


def test_choose_device_takes_a_numbered_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("cuda:1") == "cuda:1"


@pytest.mark.parametrize("override", ["cuda", "cuda:0", "tpu", ""])
def test_choose_device_says_which_devices_can_be_used(monkeypatch: pytest.MonkeyPatch, override: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="Set ERA_DEVICE to one of: cpu"):
        choose_device(override)


def test_describe_device_names_the_processor() -> None:
    assert describe_device("cpu") == f"CPU ({torch.get_num_threads()} threads)"
    assert describe_device("mps") == "Apple GPU"


class Steps:
    """Steps of some work; the memory of any device but the CPU is too small for those that are named so."""

    def __init__(self, too_large: str, error: RuntimeError) -> None:
        self.done: list[tuple[str, str]] = []
        self._too_large = too_large
        self._error = error

    def step(self, name: str) -> Callable[[str], str]:
        def run(device: str) -> str:
            self.done.append((name, device))
            if name == self._too_large and device != "cpu":
                raise self._error
            return f"{name} on {device}"

        return run


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_device_with_fallback_goes_on_with_the_cpu_from_the_step_that_failed(
    error: RuntimeError, caplog: pytest.LogCaptureFixture
) -> None:
    steps, computer = Steps("second", error), DeviceWithFallback("cuda")
    found = [computer.run(steps.step(name)) for name in ("first", "second", "third")]
    assert found == ["first on cuda", "second on cpu", "third on cpu"]
    assert steps.done == [("first", "cuda"), ("second", "cuda"), ("second", "cpu"), ("third", "cpu")]
    assert computer.device == "cpu"
    assert computer.note == "The GPU ran out of memory, so this was computed on the CPU."
    assert "too small" in caplog.text


def test_device_with_fallback_stays_where_the_memory_is_enough() -> None:
    computer = DeviceWithFallback("cuda")
    assert computer.run(lambda device: device) == "cuda"
    assert (computer.device, computer.note) == ("cuda", "")


@pytest.mark.parametrize(
    ("device", "error"),
    [("cpu", torch.OutOfMemoryError("out of memory")), ("cuda", RuntimeError("shapes do not fit"))],
)
def test_device_with_fallback_raises_what_the_cpu_would_not_help(device: str, error: RuntimeError) -> None:
    calls: list[str] = []

    def step(device: str) -> None:
        calls.append(device)
        raise error

    with pytest.raises(RuntimeError) as caught:
        DeviceWithFallback(device).run(step)
    assert caught.value is error
    assert calls == [device]


def test_device_with_fallback_lets_go_of_what_a_failed_step_held() -> None:
    """Or the memory of the device would stay taken while the CPU works."""
    held: list[weakref.ref[torch.Tensor]] = []

    def step(device: str) -> bool:
        if device == "cpu":
            return held[0]() is None
        large = torch.zeros(10)
        held.append(weakref.ref(large))
        raise torch.OutOfMemoryError("out of memory")

    assert DeviceWithFallback("cuda").run(step)
