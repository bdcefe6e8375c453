"""`search`, `align` and `adapt`: what is found, what is learned, and the index that stays as it is."""

import json
from pathlib import Path

import numpy as np
import pytest

from era.adapter import QueryAdapter
from era.encoders.base import EmbedderPair
from tests.worlds.command_line import CommandLine, contents_of, write_animals
from tests.worlds.words import ANIMALS, TOPICS, WordEmbedder, light_embedder, strong_embedder

HALF = pytest.approx(0.5, abs=1e-6)


@pytest.fixture
def era(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    commands = CommandLine(capsys, monkeypatch, tmp_path)
    write_animals(tmp_path / "animals")
    commands.do("index", "animals", "animals.index")
    return commands


def test_one_query_finds_documents_with_their_texts(era: CommandLine) -> None:
    found = era.do("search", "animals.index", "trout illness", "-k", 3, "--with", "light")
    best = {"rank": 1, "doc_id": "trout-illness", "title": "trout", "text": "illness"}
    assert {**found[0], "score": None} == {**best, "score": None}
    assert found[0]["score"] == pytest.approx(1, abs=1e-6)
    assert [each["rank"] for each in found] == [1, 2, 3]
    assert [each["score"] for each in found[1:]] == [HALF, HALF]  # they share one of two words
    text = era("search", "animals.index", "trout illness", "-k", 1, "--with", "light").out
    assert text == "  1  1.0000  trout-illness\n     trout illness\n"


def test_matching_words_alone_find_nothing_else(era: CommandLine) -> None:
    found = era.do("search", "animals.index", "wren", "--with", "bm25")
    assert {each["doc_id"] for each in found} == {"wren-feeding", "wren-illness"}
    with_words = era.do("search", "animals.index", "wren", "-k", 2, "--with", "light", "--words")
    assert {each["doc_id"] for each in with_words} == {"wren-feeding", "wren-illness"}
    assert with_words[0]["score"] > 0.71  # more than the cosine


def test_many_queries_give_a_run(era: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text('{"id": "q1", "text": "hare feeding"}\n{"id": "q2", "text": "seal"}\n')
    words = ["search", "animals.index", "--queries", "queries.jsonl", "--with", "light", "-k", 2]
    written = era(*words).out.splitlines()
    assert [line.split()[0] for line in written] == ["q1", "q1", "q2", "q2"]
    assert written[0].split()[1:4] == ["Q0", "hare-feeding", "1"]
    assert era.do(*words)["q1"][0] == {"doc_id": "hare-feeding", "score": pytest.approx(1, abs=1e-6)}
    assert era.do(*words, "--out", "light.run") == {"run": "light.run", "queries": 2}
    assert (tmp_path / "light.run").read_text().splitlines() == written


def test_a_plain_table_of_queries_is_enough(era: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "asked.csv").write_text("id,text,instruction\n7,moth,vet\n")
    found = era.do("search", "animals.index", "--queries", "asked.csv", "-k", 1)
    assert list(found) == ["7"]
    assert "moth" in era.pair.strong.texts_read  # type: ignore[attr-defined]
    assert "vet moth" in era.pair.strong.texts_read  # type: ignore[attr-defined]


def test_a_search_needs_one_query_or_a_file(era: CommandLine) -> None:
    assert era.fail("search", "animals.index") == "Give either one query or --queries FILE."
    assert "either" in era.fail("search", "animals.index", "moth", "--queries", "animals")
    assert "what you are looking for" in era.fail("search", "animals.index", " ")
    assert "There is no adapter 'first'" in era.fail("search", "animals.index", "moth", "--with", "first")


def test_aligning_reads_each_document_once_and_saves_what_needs_no_label(era: CommandLine, tmp_path: Path) -> None:
    found = era.do("align", "animals.index", "aligned.adapter")
    assert found["n_texts"] == len(ANIMALS) * len(TOPICS)
    n_read = len(era.pair.strong.texts_read)  # type: ignore[attr-defined]
    era.do("align", "animals.index")
    assert len(era.pair.strong.texts_read) == n_read == 16  # type: ignore[attr-defined]
    adapter, _ = QueryAdapter.load(tmp_path / "aligned.adapter")
    assert adapter.provenance["recipe"] == "era"
    by_name = era.do("search", "animals.index", "newt", "--with", "aligned")
    by_folder = era.do("search", "animals.index", "newt", "--with", "aligned.adapter")
    assert by_name == by_folder
    assert era.fail("align", "animals.index", "aligned.adapter").startswith("aligned.adapter exists already.")


def test_aligning_reads_on_where_more_texts_are_wanted_and_none_twice(era: CommandLine) -> None:
    assert era.do("align", "animals.index", "--texts", 6)["n_texts"] == 6
    era.do("search", "animals.index", "newt", "--with", "aligned")  # by what was read
    read = era.pair.strong.texts_read  # type: ignore[attr-defined]
    assert len([text for text in read if text != "newt"]) == 6
    few = era.do("align", "animals.index", "--texts", 4)
    assert few["n_texts"] == 4
    assert era.do("align", "animals.index")["n_texts"] == 16
    assert len([text for text in read if text != "newt"]) == 16
    assert era.do("align", "animals.index", "--texts", 4) == few
    assert era.do("adapt", "animals.index", "first.adapter", "--texts", 8)["report"]["alignment_fit"]["n"] == 8


def test_adapting_learns_what_the_instructions_mean(era: CommandLine, tmp_path: Path) -> None:
    before = contents_of(tmp_path / "animals.index")
    found = era.do("adapt", "animals.index", "first.adapter")
    assert found["n"] == 16
    assert found["means"]["after"]["nDCG@10"] > found["means"]["aligned"]["nDCG@10"]
    assert found["report"]["is_changed"]
    first = era.do("search", "animals.index", "moth", "--instruction", "vet", "-k", 1, "--with", "first.adapter")
    assert first[0]["doc_id"] == "moth-illness"
    after = contents_of(tmp_path / "animals.index")
    assert {name: after[name] for name in before} == before
    adapter, extra = QueryAdapter.load(tmp_path / "first.adapter")
    assert adapter.provenance["label_snapshot"]["cat-vet"] == {"cat-feeding": 0.0, "cat-illness": 1.0}
    assert adapter.provenance["index_fingerprint"] == json.loads(before["index/index.json"])["fingerprint"]
    assert extra["held_out"].shape == (16, 11)


def test_adapting_again_gives_the_same_weights(era: CommandLine, tmp_path: Path) -> None:
    era.do("adapt", "animals.index", "one", "--seed", 3)
    era.do("adapt", "animals.index", "two", "--seed", 3)
    one, two = (QueryAdapter.load(tmp_path / name)[0] for name in ("one", "two"))
    assert np.array_equal(one.weight, two.weight)


def test_adapting_takes_queries_and_judgments_from_files(era: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text('{"id": "a", "text": "cat"}\n{"id": "b", "text": "dog"}\n')
    (tmp_path / "judged.qrels").write_text("a 0 cat-feeding 1\nb 0 dog-feeding 2\nb 0 gone 1\n")
    words = ["adapt", "animals.index", "own", "--queries", "queries.jsonl", "--qrels", "judged.qrels"]
    answer = era(*words, "--json")
    assert answer.values["n"] == 2
    assert "1 judgment of a document that is not there was left out: gone." in answer.err
    (tmp_path / "judged.qrels").write_text("a 0 cat-feeding 0\n")
    assert "nothing to learn" in era.fail(*words[:2], "none", *words[3:])
    assert not (tmp_path / "none").exists()


def test_another_query_embedder_leaves_the_index_alone(era: CommandLine, tmp_path: Path) -> None:
    era.do("align", "animals.index")
    before = contents_of(tmp_path / "animals.index")
    era.pair = EmbedderPair(WordEmbedder("another", [*ANIMALS, "vet"]), light_embedder())
    (tmp_path / "own.json").write_text(
        '{"strong": {"kind": "openai", "name": "x"}, "light": {"kind": "bundled-light"}}'
    )
    era.do("adapt", "animals.index", "other.adapter", "--embedders", "own.json")
    after = contents_of(tmp_path / "animals.index")
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 1  # what the other embedder read of the documents
    era.pair = EmbedderPair(strong_embedder(), light_embedder())
    message = era.fail("search", "animals.index", "moth", "--with", "other.adapter")
    assert "made with another as its strong embedder, but strong is loaded" in message


def test_another_document_embedder_is_refused(era: CommandLine) -> None:
    era.pair = EmbedderPair(strong_embedder(), WordEmbedder("smaller", ANIMALS))
    assert "was made with light" in era.fail("search", "animals.index", "moth")


def test_documents_changed_after_indexing_are_noticed(era: CommandLine, tmp_path: Path) -> None:
    corpus = tmp_path / "animals.index" / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace('"trout"', '"salmon"'))
    assert "changed after they were indexed" in era.fail("search", "animals.index", "trout", "--with", "light")
