import pytest
import torch

from era.devices import choose_device, describe_device


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
