"""What a recipe tells of how it went: folds, strengths, contributions, and that the GPU was too small."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from era.encoders.base import EmbedderPair
from era.evaluation.measures import evaluate
from era.index.dense import DenseIndex
from era.method import recipes
from era.method.alignment import AlignmentTexts
from era.method.influence import aligned_parts, explain, trained_parts
from era.method.paper import ContrastiveConfig, EncodingConfig
from era.method.recipes import Fit, RecipeName, fit
from era.types import Query
from tests.worlds.words import ANIMALS, QUERIES, RELEVANT, TOPICS


@pytest.fixture(autouse=True)
def _few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the published training short; what it learns is the business of other tests."""
    monkeypatch.setattr(recipes, "EncodingConfig", lambda: EncodingConfig(n_epochs=20))
    monkeypatch.setattr(recipes, "ContrastiveConfig", lambda: ContrastiveConfig(n_epochs=20, learning_rate=1e-3))


def fit_world(recipe: RecipeName, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair) -> Fit:
    return fit(recipe, texts, index, pair, QUERIES, RELEVANT)


def test_era_report_tells_what_each_fold_and_strength_did(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    learned = fit_world("era", texts, index, pair)
    report = learned.report
    folds, strengths = report["folds"], report["strengths"]
    assert sum(fold["n"] for fold in folds) == len(QUERIES)
    for name, vectors in (
        ("before", learned.aligned.transform(pair.encode_queries(sorted(QUERIES, key=lambda q: q.query_id)))),
        ("after", learned.held_out_vectors),
    ):
        run = dict(zip(learned.query_ids, index.search(vectors, len(index)), strict=True))
        expected = np.mean(list(evaluate(RELEVANT, run, ["nDCG@100"])["nDCG@100"].values()))
        assert sum(fold["n"] * fold[name] for fold in folds) / len(QUERIES) == pytest.approx(expected, abs=1e-6)
    assert {fold["strength"] for fold in folds} <= {None, 12000.0, 3000.0, 800.0, 200.0}
    assert all(fold["blend"].keys() == {"light", "neighbours"} for fold in folds)

    assert [trial["strength"] for trial in strengths] == [12000.0, 3000.0, 800.0, 200.0]
    chosen = next(trial for trial in strengths if trial["strength"] == report["strength"])
    assert chosen["share_moved"] == pytest.approx(report["share_of_score_variance_moved"], rel=1e-5)
    assert chosen["gain"] > 0.5 * chosen["standard_error"] > 0
    assert chosen["gain"] == pytest.approx(
        report["start_loss"] - report["held_out_losses"][f"{report['strength']:g}"], rel=1e-4
    )
    assert report["alignment_fit"]["n"] == len(texts.doc_ids)
    assert 0 < report["alignment_fit"]["explained_variance"] < report["alignment_fit"]["mean_cosine"] <= 1
    assert (report["device"], report["note"]) == ("cpu", "")


def test_fit_explains_itself_with_the_influence_of_its_labelled_queries(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    learned = fit_world("era", texts, index, pair)
    assert learned.influence is not None
    query = Query("new", "seal", "owner")
    documents = index.vectors([f"{query.text}-{topic}" for topic in TOPICS])
    encoded = pair.encode_queries([query])
    before = aligned_parts(learned.aligned, encoded)
    after = trained_parts(learned.influence, learned.aligned, encoded, None)
    assert after.vector == pytest.approx(learned.adapter.transform(encoded)[0], abs=1e-5)
    feeding = explain(
        before, after, documents[0], documents
    ).by_query  # owners asked for feeding: their labels raise it
    assert sum(feeding[f"{animal}-owner"] for animal in ANIMALS[:6]) > 0.05
    assert fit_world("paper", texts, index, pair).influence is None


@pytest.mark.parametrize(
    ("recipe", "step", "expected_devices"),
    [
        ("era", "adapt", ["gpu", "cpu"]),
        ("paper", "align_by_encoding", ["gpu", "cpu"]),
        (
            "paper",
            "train_contrastive",
            ["gpu", "gpu", "gpu", "cpu", "cpu", "cpu", "cpu"],
        ),  # 6 fits, the third one twice
    ],
)
def test_fit_goes_on_with_the_cpu_when_the_gpu_is_out_of_memory(
    recipe: RecipeName,
    step: str,
    expected_devices: list[str],
    texts: AlignmentTexts,
    index: DenseIndex,
    pair: EmbedderPair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The GPU is made up: whatever is asked of it is done by the CPU, or is too much for it."""
    expected = fit_world(recipe, texts, index, pair)
    devices: list[str] = []

    def on_made_up_gpu(name: str) -> Callable[..., object]:
        original = getattr(recipes, name)

        def call(*arguments: object) -> object:
            place = arguments.index("gpu") if "gpu" in arguments else arguments.index("cpu")
            if name == step:
                devices.append(str(arguments[place]))
                if arguments[place] == "gpu" and len(devices) == expected_devices.count("gpu"):
                    raise torch.OutOfMemoryError("CUDA out of memory.")
            return original(*arguments[:place], "cpu", *arguments[place + 1 :])

        return call

    for name in ("adapt", "align_by_encoding", "train_contrastive"):
        monkeypatch.setattr(recipes, name, on_made_up_gpu(name))
    learned = fit(recipe, texts, index, pair, QUERIES, RELEVANT, device="gpu")
    assert devices == expected_devices
    assert learned.report["device"] == "cpu"
    assert learned.report["note"] == "The GPU ran out of memory, so this was computed on the CPU."
    assert learned.adapter.weight.tobytes() == expected.adapter.weight.tobytes()
    assert learned.held_out_vectors.tobytes() == expected.held_out_vectors.tobytes()
