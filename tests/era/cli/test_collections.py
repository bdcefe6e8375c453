"""`import` and `index`: any format in, complete or not at all, and no text embedded twice."""

import json
from pathlib import Path

import numpy as np
import pytest

from era.encoders.base import Vectors
from era.index import building
from era.index.dense import DenseIndex
from era.progress import Progress, no_progress
from tests.worlds.command_line import CommandLine, contents_of, everything_in, write_animals


@pytest.fixture
def era(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    return CommandLine(capsys, monkeypatch, tmp_path)


def rows_of(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_table_becomes_a_collection_folder(era: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "docs.csv").write_text("key,head,body,year\nd1,Trout,feeding,1999\nd2,Wren,illness,2001\n")
    columns = ["--column", "id=key", "--column", "title=head", "--column", "text=body"]
    found = era.do("import", "docs.csv", "animals", *columns)
    assert (found["format"], found["documents"], found["queries"], found["judgments"]) == ("table", 2, 0, 0)
    rows = rows_of(tmp_path / "animals" / "corpus.jsonl")
    assert [(row["id"], row["title"], row["text"]) for row in rows] == [
        ("d1", "Trout", "feeding"),
        ("d2", "Wren", "illness"),
    ]


def test_columns_header_and_encoding_are_chosen_and_what_was_decided_is_said(era: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "cups.csv").write_bytes("B1,red cup,für Tee\nB2,blue pot,Caf".encode() + b"\xe9\n")
    assert "cups.csv, line 2: the byte 0xE9 in column 16 is not UTF-8" in era.fail("import", "cups.csv", "cups")
    assert "There is no encoding 'nope'" in era.fail("import", "cups.csv", "cups", "--encoding", "nope")
    texts = ["--column", "text=column 2", "--column", "text=column 3", "--column", "id=column 1"]
    answer = era("import", "cups.csv", "cups", "--encoding", "utf-8", "--header", "no", *texts, "--json")
    assert answer.values["remarks"] == [
        "cups.csv was read as utf-8; \ufffd replaces what did not fit in 1 place, the first in line 2, column 16.",
        "The first line of cups.csv is no header; its columns are numbered.",
        "Of cups.csv, the models read column 2 + column 3 as the text. The id is column 1.",
    ]
    assert [(row["id"], row["text"]) for row in rows_of(tmp_path / "cups" / "corpus.jsonl")] == [
        ("B1", "red cup\nfür Tee"),
        ("B2", "blue pot\nCaf\ufffd"),
    ]


def test_a_beir_folder_becomes_one_with_what_was_judged(era: CommandLine, tmp_path: Path) -> None:
    beir = tmp_path / "beir"
    (beir / "qrels").mkdir(parents=True)
    (beir / "corpus.jsonl").write_text('{"_id": "d1", "title": "Trout", "text": "feeding"}\n')
    (beir / "queries.jsonl").write_text('{"_id": "q1", "text": "fish"}\n')
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td9\t1\n")
    answer = era("import", "beir", "fish", "--json")
    assert answer.values["judgments"] == 1
    assert "1 judgment of a document that is not there was left out: d9." in answer.err
    assert (tmp_path / "fish" / "qrels.tsv").read_text().split() == ["q1", "d1", "2"]


def test_a_file_that_cannot_be_read_leaves_nothing(era: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"id": "d1", "text": "trout"}\n{"id": "d2", "text": \n')
    message = era.fail("import", "docs.jsonl", "docs")
    assert "docs.jsonl, line 2" in message
    assert everything_in(tmp_path) == ["docs.jsonl"]


def test_nothing_is_overwritten(era: CommandLine, tmp_path: Path) -> None:
    animals = write_animals(tmp_path / "animals")
    before = contents_of(animals)
    for words in (["import", "animals", "animals"], ["index", "animals", "animals"]):
        assert era.fail(*words) == "animals exists already. Choose another folder, or remove that one."
    assert contents_of(animals) == before


def test_an_index_holds_the_vectors_and_all_that_came_with_the_documents(era: CommandLine, tmp_path: Path) -> None:
    write_animals(tmp_path / "animals")
    found = era.do("index", "animals", "animals.index")
    assert (found["documents"], found["embedded"], found["queries"], found["judgments"]) == (16, 16, 16, 32)
    assert found["embedders"] == {"strong": {"kind": "bundled-strong"}, "light": {"kind": "bundled-light"}}
    index = DenseIndex.load(tmp_path / "animals.index" / "index")
    assert index.fingerprint == found["fingerprint"]
    expected = np.zeros(11, np.float32)
    expected[[2, 9]] = 1 / np.sqrt(2)  # trout is the third animal, illness the second topic after eight of them
    assert np.allclose(index.vectors(["trout-illness"])[0], expected)
    assert everything_in(tmp_path / "animals.index") == [
        *("corpus.jsonl", "era.json", "index", "index/index.faiss", "index/index.json", "qrels.tsv", "queries.jsonl"),
    ]


def test_an_update_embeds_only_new_and_changed_texts(era: CommandLine, tmp_path: Path) -> None:
    animals = write_animals(tmp_path / "animals")
    era.do("index", "animals", "animals.index")
    rows = rows_of(animals / "corpus.jsonl")
    rows = [rows[1], {**rows[0], "text": "illness feeding"}, {"id": "new", "text": "a newt"}, *rows[3:]]
    (animals / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    era.light.texts_read.clear()
    found = era.do("index", "animals", "animals.index", "--update")
    assert (found["documents"], found["embedded"]) == (16, 2)
    assert era.light.texts_read == ["cat\nillness feeding", "a newt"]
    updated = contents_of(tmp_path / "animals.index")
    era.do("index", "animals", "anew.index")
    assert updated == contents_of(tmp_path / "anew.index")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["anew.index", "animals", "animals.index"]


def test_an_update_takes_vectors_of_a_moved_text_by_what_it_says(era: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "docs.csv").write_text("id,text\nd1,trout\nd2,wren\n")
    era.do("index", "docs.csv", "docs.index")
    (tmp_path / "docs.csv").write_text("id,text\nd2,trout\nd3,wren\n")
    assert era.do("index", "docs.csv", "docs.index", "--update")["embedded"] == 0
    index = DenseIndex.load(tmp_path / "docs.index" / "index")
    assert np.flatnonzero(index.vectors(["d2"])[0]).tolist() == [2]
    assert np.flatnonzero(index.vectors(["d3"])[0]).tolist() == [3]


def test_indexing_goes_on_where_it_was_stopped(
    era: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_animals(tmp_path / "animals")
    monkeypatch.setattr(building, "_KEPT_AT_ONCE", 5)
    encode, n_calls = era.light.encode_documents, 0

    def stop_in_the_third(texts: list[str], progress: Progress = no_progress) -> Vectors:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 3:
            raise KeyboardInterrupt
        return encode(texts, progress)

    monkeypatch.setattr(era.light, "encode_documents", stop_in_the_third)
    assert era("index", "animals", "animals.index").code == 1
    assert not (tmp_path / "animals.index").exists()
    monkeypatch.setattr(era.light, "encode_documents", encode)
    assert era.do("index", "animals", "animals.index")["embedded"] == 6
    assert len(era.light.texts_read) == len(set(era.light.texts_read)) == 16
    assert sorted(path.name for path in tmp_path.iterdir()) == ["animals", "animals.index"]


def test_embedders_are_named_by_a_preset_or_a_file(era: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "docs.csv").write_text("id,text\nd1,trout\n")
    era.do("index", "docs.csv", "static.index", "--embedders", "static")
    assert era.specs[-1].light.name == "minishlab/potion-base-8M"
    about = json.loads((tmp_path / "static.index" / "era.json").read_text())
    assert about["embedders"]["light"] == {"kind": "sentence-transformers", "name": "minishlab/potion-base-8M"}
    own = {"strong": {"kind": "openai", "name": "big"}, "light": {"kind": "bundled-light"}}
    (tmp_path / "own.json").write_text(json.dumps(own))
    era.do("index", "docs.csv", "own.index", "--embedders", "own.json")
    assert era.specs[-1].to_json() == own
    assert "no preset and no file 'tiny'" in era.fail("index", "docs.csv", "no.index", "--embedders", "tiny")
    (tmp_path / "own.json").write_text('{"strong": {"kind": "magic"}, "light": {"kind": "bundled-light"}}')
    assert "kind" in era.fail("index", "docs.csv", "no.index", "--embedders", "own.json")
    (tmp_path / "own.json").write_text("{")
    assert "own.json is not JSON" in era.fail("index", "docs.csv", "no.index", "--embedders", "own.json")


def test_the_cost_is_told_before_anything_is_sent(era: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "docs.csv").write_text("id,text\nd1,trouts\nd2,wrens eat\n")  # 6 and 9 bytes, four to a token
    endpoint = {"kind": "openai", "name": "big", "price_per_million_tokens": 2e5}
    (tmp_path / "own.json").write_text(json.dumps({"strong": {"kind": "bundled-strong"}, "light": endpoint}))
    found = era.do("index", "docs.csv", "docs.index", "--embedders", "own.json", "--estimate")
    assert found == {"documents": 2, "tokens": 5, "dollars": 1.0}
    assert era.do("index", "docs.csv", "docs.index", "--estimate")["dollars"] is None
    assert era.specs == []
    assert not (tmp_path / "docs.index").exists()
