import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from era.adapter import QueryAdapter
from era.encoders.base import EncodedQueries
from era.errors import Cancelled
from era.method.alignment import AlignmentTexts
from era.method.paper import EncodingConfig, align_by_encoding, random_linear
from tests.worlds.vectors import random_unit_rows


def random_texts(n: int, p: int, m: int, seed: int = 0) -> AlignmentTexts:
    return AlignmentTexts([str(i) for i in range(n)], random_unit_rows(n, p, seed), random_unit_rows(n, m, seed + 100))


def mean_cosine_loss(adapter: QueryAdapter, texts: AlignmentTexts) -> float:
    mapped = adapter.transform(EncodedQueries(texts.strong, texts.strong, texts.light))
    return float((1 - (mapped * texts.light).sum(axis=1)).mean())


def linearly_related_texts(n: int = 40) -> AlignmentTexts:
    strong = random_unit_rows(n, 6, seed=0)
    light = strong @ np.random.default_rng(1).normal(size=(6, 4))
    light /= np.linalg.norm(light, axis=1, keepdims=True)
    return AlignmentTexts([str(i) for i in range(n)], strong, light.astype(np.float32))


def test_align_by_encoding_brings_texts_close_to_their_light_vectors() -> None:
    texts = linearly_related_texts()
    untrained = align_by_encoding(texts, "cpu", 0, EncodingConfig(n_epochs=0))
    trained = align_by_encoding(texts, "cpu", 0, EncodingConfig(n_epochs=300, learning_rate=1e-2))
    assert mean_cosine_loss(untrained, texts) > 0.5
    assert mean_cosine_loss(trained, texts) < 0.01
    assert trained.views == ("instructed",)


def test_align_by_encoding_starts_from_the_default_initialisation() -> None:
    untrained = align_by_encoding(random_texts(20, 9, 200), "cpu", 0, EncodingConfig(n_epochs=0))
    reference = torch.nn.Linear(9, 200)  # uniform in +-1/3 by default
    assert untrained.weight.shape == (9, 200)
    for found, default in ((untrained.weight, reference.weight), (untrained.bias, reference.bias)):
        assert np.abs(found).max() <= 1 / 3
        assert np.abs(found).max() > 0.32
        assert abs(found.mean()) < 0.05
        assert found.std() == pytest.approx(float(default.detach().std()), abs=0.025)


def test_random_linear_touches_no_global_generator() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    random_linear(4, 5, torch.Generator().manual_seed(1), "cpu")
    assert torch.equal(torch.rand(3), expected)


def test_align_by_encoding_gives_the_same_bytes_for_the_same_seed() -> None:
    texts = linearly_related_texts()
    config = EncodingConfig(n_epochs=3, batch_size=8)
    first, again = (align_by_encoding(texts, "cpu", 5, config) for _ in range(2))
    assert first.weight.tobytes() == again.weight.tobytes()
    assert first.bias.tobytes() == again.bias.tobytes()
    assert align_by_encoding(texts, "cpu", 6, config).weight.tobytes() != first.weight.tobytes()


@pytest.mark.parametrize("n_epochs", [1, 7])
def test_align_by_encoding_equals_a_linear_layer_trained_by_adamw(n_epochs: int) -> None:
    texts = linearly_related_texts()
    start = align_by_encoding(texts, "cpu", 0, EncodingConfig(n_epochs=0))
    layer = torch.nn.Linear(6, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(start.weight.T.copy()))
        layer.bias.copy_(torch.from_numpy(start.bias))
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-3, weight_decay=0.01)
    strong, light = torch.from_numpy(texts.strong[:36]), torch.from_numpy(texts.light[:36])  # nine tenths of 40
    for _ in range(n_epochs):  # one batch holds all, so the order does not matter
        optimizer.zero_grad()
        (1 - cosine_similarity(layer(strong), light)).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = align_by_encoding(texts, "cpu", 0, EncodingConfig(n_epochs=n_epochs))
    np.testing.assert_allclose(found.weight, layer.weight.detach().numpy().T, atol=1e-6)
    np.testing.assert_allclose(found.bias, layer.bias.detach().numpy(), atol=1e-6)
    assert np.abs(found.weight - start.weight).max() > 5e-4


def test_align_by_encoding_sees_every_training_text_once_an_epoch() -> None:
    texts = linearly_related_texts(30)
    # 27 training texts in batches of 10 make 3 steps; AdamW moves a weight by at most about its rate in each
    config = EncodingConfig(n_epochs=1, batch_size=10, weight_decay=0.0)
    start = align_by_encoding(texts, "cpu", 0, EncodingConfig(n_epochs=0))
    moved = np.abs(align_by_encoding(texts, "cpu", 0, config).weight - start.weight).max()
    assert 2e-3 < moved < 3.1e-3


def test_align_by_encoding_learns_nothing_from_the_last_tenth() -> None:
    texts = linearly_related_texts()
    light = texts.light.copy()
    light[36:] = -light[36:]
    changed = AlignmentTexts(texts.doc_ids, texts.strong, light)
    config = EncodingConfig(n_epochs=2)
    first, second = (align_by_encoding(t, "cpu", 0, config) for t in (texts, changed))
    assert first.weight.tobytes() == second.weight.tobytes()


def test_align_by_encoding_takes_a_single_text() -> None:
    adapter = align_by_encoding(random_texts(1, 4, 3), "cpu", 0, EncodingConfig(n_epochs=2))
    assert np.isfinite(adapter.weight).all()


def test_align_by_encoding_reports_every_epoch_and_stops_when_the_report_raises() -> None:
    reported: list[float] = []

    def report(stage: str, fraction: float, detail: str = "") -> None:
        reported.append(fraction)
        if fraction == 0.5:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        align_by_encoding(random_texts(5, 4, 3), "cpu", 0, EncodingConfig(n_epochs=4), report)
    assert reported == [0.25, 0.5]


def test_align_by_encoding_reads_no_more_texts_than_the_paper() -> None:
    texts, config = random_texts(1010, 3, 2), EncodingConfig(n_epochs=1)
    paper = align_by_encoding(texts, "cpu", 0, config)
    np.testing.assert_array_equal(paper.weight, align_by_encoding(texts.first(1000), "cpu", 0, config).weight)
    assert paper.provenance["n_texts"] == 1000
