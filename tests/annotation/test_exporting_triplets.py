"""Training triplets: texts that `datasets` reads, and negatives that were judged or are safe to take for some."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from annotation.errors import InvalidInputError
from annotation.judging.setup import left_out
from annotation.transfer.triplets import export_triplets
from era.corpus import Corpus
from tests.worlds.desk import Desk
from tests.worlds.judging import begin, say
from tests.worlds.words import DOCUMENTS, QRELS


def triplets_of(desk: Desk, author: str = "ann", n_negatives: int = 5) -> list[dict[str, str]]:
    made = export_triplets(desk.workspace, author, desk.label_set_id, n_negatives)
    assert isinstance(made.content, bytes)
    return [json.loads(line) for line in made.content.decode().splitlines()]


def test_datasets_reads_the_file(judged_desk: Desk, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    made = export_triplets(judged_desk.workspace, "ann", judged_desk.label_set_id, 1)
    assert isinstance(made.content, bytes)
    path = tmp_path / made.name
    path.write_bytes(made.content)
    read = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert read.column_names == ["anchor", "positive", "negative"]
    assert len(read) == len(QRELS)
    assert {
        "anchor": "Instruct: vet\nQuery: cat",
        "positive": "cat\nillness",
        "negative": "cat\nfeeding",
    } in list(read)


def test_negatives_are_judged_ones_first_then_what_ranks_high_but_surely_below(desk: Desk) -> None:
    query = desk.ask("cat cat cat dog feeding")
    say(desk, "ann", query, "cat-feeding", 1.0)
    say(desk, "ann", query, "moth-illness", 0.0)
    found = triplets_of(desk, n_negatives=3)
    assert [each["anchor"] for each in found] == ["cat cat cat dog feeding"] * 3
    assert {each["positive"] for each in found} == {"cat\nfeeding"}
    # times sqrt(22): cat-feeding 4, cat-illness 3, dog-feeding 2, dog-illness and other feeding 1
    assert [each["negative"] for each in found] == ["moth\nillness", "cat\nillness", "dog\nfeeding"]


def test_what_scores_like_the_weakest_relevant_document_is_no_negative(desk: Desk) -> None:
    query = desk.ask("cat")
    say(desk, "ann", query, "cat-feeding", 1.0)
    texts = {each["negative"] for each in triplets_of(desk, n_negatives=100)}
    # cat-illness scores as high as cat-feeding; every document about others scores 0
    assert texts == {document.content for document in DOCUMENTS if document.title != "cat"}


def test_queries_that_are_still_being_judged_are_left_out(judged_desk: Desk) -> None:
    begin(judged_desk, "ben", judged_desk.query_id("cat-vet"))
    anchors = {each["anchor"] for each in triplets_of(judged_desk, "ben")}
    assert len(anchors) == len(QRELS) - 1
    assert "Instruct: vet\nQuery: cat" not in anchors
    assert left_out(1) in export_triplets(judged_desk.workspace, "ben", judged_desk.label_set_id).remarks


def test_nothing_relevant_is_nothing_to_learn_from(desk: Desk) -> None:
    desk.mark(desk.query_id("cat-vet"), "cat-feeding", 0.0, 1)
    with pytest.raises(InvalidInputError, match="Mark at least one document as relevant"):
        triplets_of(desk)
    with pytest.raises(InvalidInputError, match="From 1 to 100"):
        triplets_of(desk, n_negatives=0)


def test_no_two_texts_of_a_triplet_are_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text decides and not the id: of two documents with one text, one may be relevant and one not."""
    query = desk.ask("what cats eat")
    grades = {"cat-feeding": 1.0, "cat-illness": 0.0, "dog-feeding": 1.0, "dog-illness": 0.0, "moth-feeding": 0.0}
    for doc_id, grade in grades.items():
        say(desk, "ann", query, doc_id, grade)
    opened = desk.workspace.open(desk.collection.id)
    texts = {
        "cat-illness": "cat  feeding",  # as a relevant document
        "dog-feeding": "cat\tfeeding",  # relevant, as another one
        "dog-illness": " what cats\neat",  # as the query
        "wren-illness": "cat feeding ",  # unjudged, as a relevant document
    }
    documents = [replace(d, title="", text=texts[d.doc_id]) if d.doc_id in texts else d for d in opened.corpus]
    monkeypatch.setattr(opened, "corpus", Corpus(documents))
    found = triplets_of(desk, n_negatives=100)
    said = [[" ".join(text.split()) for text in each.values()] for each in found]
    assert ["what cats eat", "cat feeding", "moth feeding"] in said
    assert {positive for _, positive, _ in said} == {"cat feeding"}
    assert all(len(set(each)) == 3 for each in said)
    negatives = [negative for _, _, negative in said]
    assert len(negatives) == len(set(negatives))
    made = export_triplets(desk.workspace, "ann", desk.label_set_id)
    said_the_same = "Left out, since they say the same as a relevant document, another one or the query"
    assert f"{said_the_same}: 3 judged documents." in made.remarks
