"""The card of an exported model: what a reader and the Hub find in it."""

import re
from dataclasses import replace
from typing import Any

from huggingface_hub import ModelCard

from era.encoders.base import EmbedderIdentity
from era.export.model_card import CardFacts, model_card

FACTS = CardFacts(
    title="Query encoder for bird notes (run 3)",
    strong=EmbedderIdentity("Qwen/Qwen3-Embedding-0.6B", "c54f2e6e80b2d7b7de06f51cec4959f6", 1024, 512, "", ""),
    light=EmbedderIdentity("WordLlama 256", "64b47a2dc493", 256, None, "", ""),
    recipe="era-single",
    seed=7,
    collection="bird notes",
    n_documents=12345,
    n_queries=40,
    n_relevant=120,
    n_not_relevant=60,
    labels_hash="ab" * 32,
    measures={
        "n": 40,
        "means": {
            "light": {"nDCG@10": 0.25, "R@10": 0.5},
            "aligned": {"nDCG@10": 0.375, "R@10": 0.5},
            "after": {"nDCG@10": 0.5, "R@10": 0.625},
        },
        "from_light": {
            "before": 0.25, "after": 0.5, "low": 0.125, "high": 0.375, "p_value": 0.0123,
            "n_better": 30, "n_same": 8, "n_worse": 2,
        },
    },
    index_fingerprint="cd" * 32,
    corpus_fingerprint="ef" * 32,
    versions={"torch": "2.13.0", "sentence-transformers": "6.2.0"},
    model_name="ann/bird-notes",
)  # fmt: skip


def test_the_hub_reads_the_front_matter() -> None:
    card: Any = ModelCard(model_card(FACTS))  # which is not typed
    data = card.data.to_dict()
    assert data["library_name"] == "sentence-transformers"
    assert data["pipeline_tag"] == "sentence-similarity"
    assert data["base_model"] == ["Qwen/Qwen3-Embedding-0.6B"]  # the other one is no name on the Hub
    assert "retrieval" in data["tags"]
    without = replace(FACTS, strong=FACTS.light)
    assert "base_model" not in model_card(without)


def test_a_reader_learns_data_labels_and_measures() -> None:
    card = model_card(FACTS)
    assert "Collection: bird notes, 12,345 documents" in card
    assert "Labels: 40 queries with 120 relevant and 60 not-relevant marks" in card
    assert f"SHA-256 of the labels: `{'ab' * 32}`" in card
    assert "recipe “era-single”, seed 7" in card
    assert "| nDCG@10 | 0.2500 | 0.3750 | 0.5000 |" in card
    assert "| R@10 | 0.5000 | 0.5000 | 0.6250 |" in card
    assert "Means over 40 queries, each ranked by an adapter that had not seen its labels" in card
    assert (
        "nDCG@10 changes by +0.2500 (95 % interval +0.1250 to +0.3750, p = 0.012, 30 better, 8 same, 2 worse)." in card
    )
    assert "Made with sentence-transformers 6.2.0, torch 2.13.0." in card


def test_the_example_is_valid_python_with_the_name_of_the_model() -> None:
    odd = replace(FACTS, model_name='it\'s "odd"')
    for facts in (FACTS, odd):
        found = re.search(r"```python\n(.*?)```", model_card(facts), re.DOTALL)
        assert found is not None
        compile(found[1], "card", "exec")
    assert "SentenceTransformer('ann/bird-notes')" in model_card(FACTS)
    assert r"prompt='Instruct: Find what answers the question\nQuery: '" in model_card(FACTS)


def test_names_that_people_chose_are_text_and_not_markup() -> None:
    card = model_card(replace(FACTS, title="a\n---\n# <script>", collection="[x](http://y) | `z`"))
    assert r"# a --- # \<script\>".replace("# \\<", r"\# \<") in card
    assert r"Collection: \[x\](http://y) \| \`z\`, 12,345 documents" in card
    assert card.count("\n---\n") == 1


def test_a_difference_is_that_of_the_two_means_and_may_be_none() -> None:
    gain = {**FACTS.measures["from_light"], "before": 0.50004, "after": 0.44996, "low": -0.1, "high": 0.00001}
    card = model_card(replace(FACTS, measures={**FACTS.measures, "from_light": gain}))
    assert "nDCG@10 changes by −0.0500 (95 % interval −0.1000 to +0.0001, p = 0.012" in card
    gain |= {"after": 0.50003, "p_value": 0.0001}
    card = model_card(replace(FACTS, measures={**FACTS.measures, "from_light": gain}))
    assert "nDCG@10 does not change (95 % interval −0.1000 to +0.0001, p < 0.001" in card


def test_what_is_not_known_is_not_told() -> None:
    card = model_card(replace(FACTS, measures={}, collection="", versions={}, index_fingerprint=""))
    assert "It was not measured." in card
    assert "Collection:" not in card
    assert "Made with" not in card
    assert "Fingerprint of their index" not in card
