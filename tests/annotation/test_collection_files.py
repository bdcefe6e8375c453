"""A collection folder: what is read from it, and which line is named when it cannot be."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annotation.collections import CollectionContent, read_collection
from annotation.errors import CollectionFileError
from era.types import Document, Query

Write = Callable[..., Path]

CORPUS = '{"id": "d1", "title": "Cats", "text": "They purr."}\n{"id": "d2", "text": "Dogs bark."}\n'
QUERIES = '{"id": "q1", "text": "who purrs", "instruction": "find pets"}\n{"id": "q2", "text": "who barks"}\n'


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes corpus, queries and qrels, each as text or bytes or not at all, into `pets`."""

    def write_folder(
        corpus: str | bytes | None = CORPUS, queries: str | bytes | None = None, qrels: str | bytes | None = None
    ) -> Path:
        folder = tmp_path / "pets"
        folder.mkdir(exist_ok=True)
        for name, content in (("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels.tsv", qrels)):
            if content is not None:
                (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return write_folder


def test_read_collection_gives_documents_queries_and_judgments_in_their_order(write: Write) -> None:
    assert read_collection(write(CORPUS, QUERIES, "q1\td1\t1\nq1\td2\t0\nq2\td2\t2.5\n")) == CollectionContent(
        name="pets",
        description="Read from the folder pets",
        documents=[Document("d1", "Cats", "They purr."), Document("d2", "", "Dogs bark.")],
        queries=[Query("q1", "who purrs", "find pets"), Query("q2", "who barks", "")],
        qrels={"q1": {"d1": 1.0, "d2": 0.0}, "q2": {"d2": 2.5}},
        remarks=(),
    )


def test_read_collection_needs_nothing_but_documents(write: Write) -> None:
    content = read_collection(write(CORPUS))
    assert len(content.documents) == 2
    assert (content.queries, content.qrels, content.remarks) == ([], {}, ())


def test_read_collection_is_named_after_the_folder_when_the_path_ends_in_a_dot(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(CORPUS))
    assert read_collection(Path()).name == "pets"


def test_read_collection_takes_underscored_and_whole_number_ids(write: Write) -> None:
    folder = write('{"_id": "d1", "text": "a"}\n{"id": 7, "text": "b"}\n{"id": 0, "text": "c"}\n')
    assert [document.doc_id for document in read_collection(folder).documents] == ["d1", "7", "0"]


@pytest.mark.parametrize(
    "qrels",
    [
        "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t0\n",
        "query-id\titeration\tcorpus-id\tscore\nq1\t0\td1\t1\nq2\t0\td2\t0\n",
        "q1\tQ0\td1\t1\nq2\tQ0\td2\t0\n",
        "q1\td1\t1\r\nq2\td2\t0",
        "\ufeffq1\td1\t1\n\n   \nq2\td2\t0\n\n",
        "q1\td1\t1\nq2\td2\t-1\n",
    ],
    ids=["header", "TREC with header", "TREC", "CRLF and no last line end", "BOM and blank lines", "below 0"],
)
def test_read_collection_reads_judgments_however_they_are_laid_out(write: Write, qrels: str) -> None:
    assert read_collection(write(CORPUS, QUERIES, qrels)).qrels == {"q1": {"d1": 1.0}, "q2": {"d2": 0.0}}


def metadata_of(folder: Path) -> dict[str, dict[str, str]]:
    return read_collection(folder).metadata


def test_read_collection_keeps_the_other_short_facts_of_a_document_as_texts(write: Write) -> None:
    facts = {"year": 1999, "open": True, "price": 1.5, "lang": "naïve", "tags": ["a", "b"], "n": 0}
    row = {"_id": 7, "title": "Cats", "text": "They purr.", **facts}
    folder = write(json.dumps(row) + "\n" + CORPUS)
    assert metadata_of(folder) == {
        "7": {"year": "1999", "open": "True", "price": "1.5", "lang": "naïve", "tags": "a, b", "n": "0"}
    }
    assert read_collection(folder).documents[0] == Document("7", "Cats", "They purr.")


def test_read_collection_leaves_out_what_is_empty_or_nested(write: Write) -> None:
    facts = {"a": None, "b": "", "c": [], "d": {"x": 1}, "e": [1, 2], "f": ["x", 2], "g": [["x"]]}
    assert metadata_of(write(json.dumps({"id": "d1", "text": "a", **facts}) + "\n")) == {}
    assert metadata_of(write('{"id": "d1", "text": "a", "url": "", "year": "1999"}\n')) == {"d1": {"year": "1999"}}


def test_read_collection_keeps_twenty_facts_of_limited_length(write: Write) -> None:
    facts = {f"{number:02}" + "n" * 100: "v" * 1000 for number in range(25)}
    kept = metadata_of(write(json.dumps({"id": "d1", "text": "a", **facts}) + "\n"))["d1"]
    assert list(kept) == [f"{number:02}" + "n" * 58 for number in range(20)]
    assert set(kept.values()) == {"v" * 500}


def test_read_collection_cleans_half_characters_out_of_facts(write: Write) -> None:
    folder = write(r'{"id": "d1", "text": "a", "na\ud83dme": "va\ud83dlue"}')
    assert metadata_of(folder) == {"d1": {"na\ufffdme": "va\ufffdlue"}}


def test_read_collection_looks_for_facts_in_documents_only(write: Write) -> None:
    content = read_collection(write(CORPUS, '{"id": "d1", "text": "who purrs", "year": 1999}\n'))
    assert content.metadata == {}
    assert content.queries == [Query("d1", "who purrs", "")]


def test_read_collection_skips_byte_order_marks_and_blank_lines(write: Write) -> None:
    content = read_collection(write("\ufeff\n" + CORPUS.replace("\n", "\n\n"), "\ufeff" + QUERIES))
    assert [document.doc_id for document in content.documents] == ["d1", "d2"]
    assert [query.query_id for query in content.queries] == ["q1", "q2"]


def test_read_collection_keeps_line_separators_inside_a_text(write: Write) -> None:
    folder = write('{"id": "d1", "text": "one\u2028two\u0085three"}\n')
    assert read_collection(folder).documents == [Document("d1", "", "one\u2028two\u0085three")]


def test_read_collection_leaves_out_empty_documents_and_their_judgments(write: Write) -> None:
    empty = '{"id": "e2", "text": "  "}\n{"id": "e1"}\n{"id": "e3", "title": "", "text": null}\n'
    content = read_collection(write(CORPUS + empty, QUERIES, "q1\te1\t1\nq1\td1\t1\nq2\te2\t1\n"))
    assert [document.doc_id for document in content.documents] == ["d1", "d2"]
    assert content.qrels["q1"] == {"d1": 1.0}
    assert not content.qrels.get("q2")
    assert content.remarks == ("3 documents without any text were left out: e1, e2, e3",)


def test_read_collection_keeps_a_document_that_has_only_a_title(write: Write) -> None:
    assert read_collection(write('{"id": "d1", "title": "Cats"}\n')).documents == [Document("d1", "Cats", "")]


@pytest.mark.parametrize("missing", ["no corpus.jsonl", "no folder", "a file"])
def test_read_collection_says_what_is_needed_when_there_is_no_corpus(write: Write, missing: str) -> None:
    folder = write(None)
    if missing == "no folder":
        folder = folder / "nowhere"
    if missing == "a file":
        folder = folder / "corpus.jsonl"
        folder.write_text(CORPUS)
    with pytest.raises(CollectionFileError, match=r"no corpus\.jsonl in .*one document a line") as error:
        read_collection(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("corpus", ["", "\n\n", '{"id": "d1", "text": " "}\n'])
def test_read_collection_refuses_a_corpus_without_text(write: Write, corpus: str) -> None:
    folder = write(corpus)
    with pytest.raises(CollectionFileError, match="no document with any text") as error:
        read_collection(folder)
    assert str(folder / "corpus.jsonl") in str(error.value)


GOOD = '{"id": "a", "text": "good"}\n\n'  # two lines, so what follows stands in line 3


@pytest.mark.parametrize("file", ["corpus.jsonl", "queries.jsonl"])
@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"id": "b", "text": "x"', "not JSON"),
        ("id,text", "not JSON"),
        ('["b", "x"]', "expected an object"),
        ('"b"', "expected an object"),
        ("null", "expected an object"),
        ('{"text": "x"}', '"id"'),
        ('{"id": null, "text": "x"}', '"id"'),
        ('{"id": "", "text": "x"}', '"id"'),
        ('{"id": true, "text": "x"}', '"id"'),
        ('{"id": 1.5, "text": "x"}', '"id"'),
        ('{"id": ["b"], "text": "x"}', '"id"'),
        ('{"id": "a", "text": "x"}', "'a' was used in line 1"),
        ('{"_id": "a", "text": "x"}', "'a' was used in line 1"),
        ('{"id": "b", "text": 5}', '"text" should be a text'),
        ('{"id": "b", "text": ["x"]}', '"text" should be a text'),
        ('{"id": "b", "text": {"x": 1}}', '"text" should be a text'),
        ('{"id": "b", "text": true}', '"text" should be a text'),
        ('{"id": "b", "text": 0}', '"text" should be a text'),
        ('{"id": "b", "text": false}', '"text" should be a text'),
        ('{"id": "b", "text": []}', '"text" should be a text'),
        ("[" * 100_000, ""),
        ('{"id": ' + "9" * 5000 + ', "text": "x"}', ""),
    ],
    ids=lambda value: value[:30],
)
def test_read_collection_names_file_and_line_of_a_bad_row(write: Write, file: str, line: str, complaint: str) -> None:
    bad = GOOD + line + "\n"
    folder = write(bad) if file == "corpus.jsonl" else write(CORPUS, bad)
    with pytest.raises(CollectionFileError) as error:
        read_collection(folder)
    assert str(error.value).startswith(f"{folder / file}, line 3: ")
    assert complaint in str(error.value)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("q9\td1\t1", "no query 'q9'"),
        ("q1\td9\t1", "no document 'd9'"),
        ("q1\td1\tgood", "'good' is not a number"),
        ("q1\td1\t", "'' is not a number"),
        ("q1\td1\tnan", "between 0 and 10"),
        ("q1\td1\tinf", "between 0 and 10"),
        ("q1\td1\t11", "between 0 and 10"),
        ("q1\td1", "separated by tabs"),
        ("q1\t0\td1\t1\tx", "separated by tabs"),
        ("q1 0 d1 1", "separated by tabs"),
        ("q1,d1,1", "separated by tabs"),
    ],
)
def test_read_collection_names_the_line_of_a_bad_judgment(write: Write, row: str, complaint: str) -> None:
    folder = write(CORPUS, QUERIES, f"query\tdocument\trelevance\nq1\td1\t1\n\n{row}\n")
    with pytest.raises(CollectionFileError) as error:
        read_collection(folder)
    assert str(error.value).startswith(f"{folder / 'qrels.tsv'}, line 4: ")
    assert complaint in str(error.value)


def test_read_collection_refuses_judgments_when_there_are_no_queries(write: Write) -> None:
    with pytest.raises(CollectionFileError, match=r"line 1: there is no query 'q1' in queries\.jsonl"):
        read_collection(write(CORPUS, None, "q1\td1\t1\n"))


NOT_UTF8 = "Käse".encode("latin-1")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("corpus.jsonl", CORPUS.encode() + b'{"id": "d3", "text": "' + NOT_UTF8 + b'"}\n'),
        ("queries.jsonl", QUERIES.encode() + b'{"id": "q3", "text": "' + NOT_UTF8 + b'"}\n'),
        ("qrels.tsv", b"q1\td1\t1\nq1\td2\t0\n" + NOT_UTF8 + b"\td1\t1\n"),
    ],
)
def test_read_collection_names_file_and_line_of_what_is_not_utf8(write: Write, file: str, content: bytes) -> None:
    contents: dict[str, str | bytes] = {"corpus.jsonl": CORPUS, "queries.jsonl": QUERIES, file: content}
    folder = write(contents["corpus.jsonl"], contents["queries.jsonl"], contents.get("qrels.tsv"))
    with pytest.raises(CollectionFileError, match="UTF-8") as error:
        read_collection(folder)
    assert str(folder / file) in str(error.value)
    assert "line 3" in str(error.value)


def test_read_collection_says_so_when_a_file_cannot_be_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **named: Any) -> Iterator[str]:
        raise PermissionError(13, "Permission denied")

    folder = write()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CollectionFileError, match=r"corpus\.jsonl could not be read: Permission denied"):
        read_collection(folder)


REAL_COLLECTIONS = Path(os.environ.get("ERA_COLLECTIONS") or Path(__file__).parents[3] / "shared" / "collections")


@pytest.mark.collections
def test_read_collection_reads_every_real_collection_completely() -> None:
    sources = sorted(REAL_COLLECTIONS.glob("*/SOURCE.md"))
    if not sources:
        pytest.skip(f"no collections in {REAL_COLLECTIONS}; set ERA_COLLECTIONS")
    for source in sources:
        counts = json.loads(source.read_text(encoding="utf-8").partition("```json")[2].partition("```")[0])
        lines = (source.parent / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
        n_empty = sum(not (row.get("title", "") + row["text"]).strip() for row in map(json.loads, lines))
        content = read_collection(source.parent)
        assert (len(content.documents), len(content.queries)) == (counts["docs"] - n_empty, counts["queries"])
        n_judgments = sum(len(grades) for grades in content.qrels.values())
        assert n_judgments == counts["judgments"] or (n_empty and n_judgments < counts["judgments"])
        assert bool(content.remarks) == bool(n_empty)
