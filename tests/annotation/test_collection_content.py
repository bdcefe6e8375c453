"""A source read into memory as a whole."""

import json
import os
from pathlib import Path

import pytest

from annotation.collections.store_whole import CollectionContent, content_of
from era.io.opening import open_source
from era.types import Document
from tests.worlds.importing import PET_QUERIES, PETS, ListedSource

REAL_COLLECTIONS = Path(os.environ.get("ERA_COLLECTIONS") or Path(__file__).parents[3] / "shared" / "collections")


def test_content_is_what_the_source_holds() -> None:
    source = ListedSource(metadata={"p2": {"year": "1999"}}, remarks=["1 document was empty."])
    assert content_of(source) == CollectionContent(
        name="pets",
        description="Read from pets",
        documents=PETS,
        queries=PET_QUERIES,
        qrels={"q1": {"p1": 1.0, "p2": 0.0}, "q2": {"p2": 2.0}},
        metadata={"p2": {"year": "1999"}},
        remarks=("1 document was empty.",),
    )


def test_judgments_of_documents_that_are_not_there_are_left_out() -> None:
    source = ListedSource([Document("p1", "", "cat")])
    assert content_of(source).qrels == {"q1": {"p1": 1.0}, "q2": {}}


@pytest.mark.collections
def test_every_real_collection_is_read_completely() -> None:
    sources = sorted(REAL_COLLECTIONS.glob("*/SOURCE.md"))
    if not sources:
        pytest.skip(f"no collections in {REAL_COLLECTIONS}; set ERA_COLLECTIONS")
    for source in sources:
        counts = json.loads(source.read_text(encoding="utf-8").partition("```json")[2].partition("```")[0])
        lines = (source.parent / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
        n_empty = sum(not (row.get("title", "") + row["text"]).strip() for row in map(json.loads, lines))
        content = content_of(open_source(source.parent))
        n_left_out = counts["docs"] - len(content.documents)
        assert (n_left_out, len(content.queries)) == (n_empty, counts["queries"]), (source, content.remarks)
        n_judgments = sum(len(grades) for grades in content.qrels.values())
        assert n_judgments == counts["judgments"] or (n_empty and n_judgments < counts["judgments"])
