"""What an embedder does when the memory of its GPU is too small; the GPU is made up."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pytest
import torch

from era.encoders.base import SentenceTransformerEmbedder, Vectors
from era.types import Query


class SmallGpu:
    """A model that reads a text as its length; its GPU holds `n_fitting` texts at once, its CPU `n_on_cpu`."""

    max_seq_length = 512
    prompts: Mapping[str, str] = {}

    def __init__(self, n_fitting: int, error: RuntimeError, n_on_cpu: int) -> None:
        self.device = torch.device("cuda")
        self.batches: list[tuple[str, int]] = []
        self._n_fitting = {"cuda": n_fitting, "cpu": n_on_cpu}
        self._error = error

    def get_embedding_dimension(self) -> int:
        return 1

    def to(self, device: str) -> None:
        self.device = torch.device(device)

    def encode(self, texts: list[str], batch_size: int, **_: object) -> Vectors:
        for start in range(0, len(texts), batch_size):
            n = len(texts[start : start + batch_size])
            self.batches.append((self.device.type, n))
            if n > self._n_fitting[self.device.type]:
                raise self._error
        return np.array([[len(text)] for text in texts], np.float32)


OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
LENGTHS = list(range(50, 10, -1))  # of 40 texts, read 16 at once where there is room


def on_small_gpu(
    n_fitting: int, error: RuntimeError = OUT_OF_MEMORY, n_on_cpu: int = 99
) -> tuple[SmallGpu, SentenceTransformerEmbedder]:
    model = SmallGpu(n_fitting, error, n_on_cpu)
    return model, SentenceTransformerEmbedder(cast(Any, model), "small", "1", batch_size=16)


@pytest.mark.parametrize("error", [OUT_OF_MEMORY, RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)")])
def test_embedder_reads_fewer_texts_at_once_when_the_gpu_is_full(
    error: RuntimeError, caplog: pytest.LogCaptureFixture
) -> None:
    model, embedder = on_small_gpu(5, error)
    vectors = embedder.encode_documents(["x" * length for length in LENGTHS])
    assert vectors[:, 0].tolist() == LENGTHS
    tried = [n for _, n in model.batches]
    assert tried == [16, 8, *[4] * 10]
    assert {device for device, _ in model.batches} == {"cuda"}
    assert "small now reads fewer texts at once" in caplog.text


def test_embedder_goes_on_with_the_cpu_when_a_single_text_is_too_much(caplog: pytest.LogCaptureFixture) -> None:
    model, embedder = on_small_gpu(0)
    vectors = embedder.encode_documents(["x" * length for length in LENGTHS])
    assert vectors[:, 0].tolist() == LENGTHS
    assert model.batches == [*(("cuda", n) for n in (16, 8, 4, 2, 1)), *[("cpu", 8)] * 5]
    assert "small now runs on the CPU" in caplog.text


def test_embedder_moves_a_query_that_does_not_fit_to_the_cpu_at_once() -> None:
    model, embedder = on_small_gpu(0)
    assert embedder.encode_queries([Query("1", "cat")]).tolist() == [[3]]
    assert model.batches == [("cuda", 1), ("cpu", 1)]


@pytest.mark.parametrize(
    ("error", "n_on_cpu", "devices"),
    [(RuntimeError("shapes do not fit"), 99, ["cuda"]), (OUT_OF_MEMORY, 0, ["cuda", "cpu"])],
)
def test_embedder_raises_what_it_cannot_mend(error: RuntimeError, n_on_cpu: int, devices: list[str]) -> None:
    model, embedder = on_small_gpu(0, error, n_on_cpu)
    with pytest.raises(RuntimeError) as caught:
        embedder.encode_queries([Query("1", "cat")])
    assert caught.value is error
    assert [device for device, _ in model.batches] == devices
