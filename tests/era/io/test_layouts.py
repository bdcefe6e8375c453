import json
import os
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from era.errors import FormatError
from era.io import limits
from era.io.opening import open_source, preview
from era.types import Document, Query
from tests.era.io.writing_files import documents_of, write, write_jsonl

DOCUMENTS = [Document("d1", "One", "first"), Document("d2", "", "second")]


def beir(folder: Path) -> Path:
    write_jsonl(folder / "corpus.jsonl", [{"_id": d.doc_id, "title": d.title, "text": d.text} for d in DOCUMENTS])
    write_jsonl(
        folder / "queries.jsonl", [{"_id": "q1", "text": "which?", "metadata": {}}, {"_id": "q2", "text": "why?"}]
    )
    write(folder / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n")
    write(folder / "qrels" / "train.tsv", "query-id\tcorpus-id\tscore\nq2\td2\t-1\n")
    write(folder / "README.md", "# About")
    return folder


def zipped(folder: Path, archive: Path, root: str = "") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                member = zipfile.ZipInfo()
                member.filename = root + file.relative_to(folder).as_posix()  # as it is, "./" too
                opened.writestr(member, file.read_bytes())
    return archive


def test_a_beir_folder_is_read_with_all_its_splits(tmp_path: Path) -> None:
    source = open_source(beir(tmp_path / "scifact"))
    assert (source.format, source.name) == ("beir", "scifact")
    assert documents_of(source) == DOCUMENTS
    assert [each.query for each in source.queries()] == [Query("q1", "which?"), Query("q2", "why?")]
    assert source.qrels() == {"q1": {"d1": 2.0, "d2": 0.0}}
    assert source.remarks == [
        "The judgments of several files were put together: qrels/test.tsv, qrels/train.tsv.",
        "1 grade below 0 was left out: such documents are unjudged, as trec_eval has it. "
        "-1 for q2, d2 (qrels/train.tsv, line 2).",
    ]


@pytest.mark.parametrize("root", ["", "scifact/", "./"])
def test_a_zip_reads_as_its_folder_and_its_unpacked_files_go_with_it(tmp_path: Path, root: str) -> None:
    folder = beir(tmp_path / "scifact")
    source = open_source(zipped(folder, tmp_path / "beir data.zip", root))
    assert (source.format, source.name) == ("beir", "beir data")
    assert documents_of(source) == documents_of(open_source(folder))
    assert source.qrels() == open_source(folder).qrels()
    unpacked = source._documents[0]._file._entry.path  # type: ignore[attr-defined]
    assert unpacked.is_file()
    del source
    assert not unpacked.parent.exists()


def test_a_collection_folder_is_read(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "corpus.jsonl", [{"id": d.doc_id, "title": d.title, "text": d.text, "n": 1} for d in DOCUMENTS]
    )
    write_jsonl(tmp_path / "queries.jsonl", [{"id": "q 1", "text": "which?", "instruction": "Find.", "need": "All."}])
    write(tmp_path / "qrels.tsv", "q 1\td1\t0.5\n")
    write(tmp_path / "notes.pdf", "x")
    source = open_source(tmp_path)
    assert source.format == "collection"
    assert [(each.document, each.metadata) for each in source.documents()] == [(d, {"n": "1"}) for d in DOCUMENTS]
    (found,) = source.queries()
    assert (found.query, found.need) == (Query("q 1", "which?", "Find."), "All.")
    assert source.qrels() == {"q 1": {"d1": 0.5}}
    assert source.remarks == [
        "1 file was not read: notes.pdf.",
        "Of corpus.jsonl, the models read title as the title and text as the text. The id is id. Only shown: n.",
    ]


def test_a_mair_folder_brings_judgments_with_its_queries(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "docs.jsonl", [{"id": "d1", "doc": "first"}, {"id": 2, "doc": "second"}])
    labels = [{"id": "d1", "score": 2}, {"id": 2, "score": 1}]
    row = {"qid": "q1", "instruction": "Find.", "query": "which?", "labels": labels}
    write_jsonl(
        tmp_path / "queries.jsonl", [row, {**row, "qid": "q2", "query": "why?", "labels": json.dumps(labels[:1])}]
    )
    source = open_source(tmp_path)
    assert source.format == "mair"
    assert documents_of(source) == [Document("d1", "", "first"), Document("2", "", "second")]
    assert source.queries()[0].query == Query("q1", "which?", "Find.")
    assert source.qrels() == {"q1": {"d1": 2.0, "2": 1.0}, "q2": {"d1": 2.0}}


def test_tables_named_after_what_they_hold_make_a_collection(tmp_path: Path) -> None:
    write(tmp_path / "documents.csv", "id,text\nd1,first\n")
    write(tmp_path / "queries.csv", "qid,query\nq1,which?\n")
    write(tmp_path / "qrels.csv", "query_id,doc_id,relevance\nq1,d1,1\n")
    write(tmp_path / "other.csv", "id,text\nd9,not this\n")
    source = open_source(tmp_path)
    assert source.format == "table"
    assert documents_of(source) == [Document("d1", "", "first")]
    assert source.qrels() == {"q1": {"d1": 1.0}}
    assert source.remarks == ["1 file was not read: other.csv."]


def test_a_preview_shows_the_beginning(tmp_path: Path) -> None:
    seen = preview(beir(tmp_path / "scifact"), n=1)
    assert [each.document for each in seen.documents] == DOCUMENTS[:1]
    assert [each.query for each in seen.queries] == [Query("q1", "which?")]
    assert (seen.format, seen.label, seen.encoding, seen.n_qrels) == ("beir", "BEIR folder", "utf-8", 2)
    assert seen.mapping == {"id": ("_id",), "title": ("title",), "text": ("text",)}
    assert seen.columns == ("_id", "title", "text")
    assert seen.files == ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv", "qrels/train.tsv")
    assert seen.n_documents is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1\td1\tmuch", "'much' is not a number"),
        ("q1\td1\tnan", "'nan' is not a number"),
        ("q1\t\t1", 'column "corpus-id": expected an id'),
    ],
)
def test_errors_of_judgments_name_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    folder = beir(tmp_path)
    write(folder / "qrels" / "test.tsv", f"query-id\tcorpus-id\tscore\nq1\td1\t1\n\n{line}\n")
    with pytest.raises(FormatError, match=r"^qrels/test.tsv, line 4") as caught:
        open_source(folder).qrels()
    assert message in str(caught.value)


def test_contradicting_judgments_and_queries_are_told(tmp_path: Path) -> None:
    folder = beir(tmp_path)
    write(folder / "qrels" / "train.tsv", "q1\td1\t1\n")
    source = open_source(folder)
    assert source.qrels() == {"q1": {"d1": 1.0, "d2": 0.0}}
    assert source.remarks[-1] == (
        "1 judgment contradicts an earlier one of the same query and document; the last holds. "
        "q1, d1: 2 (qrels/test.tsv, line 2), then 1 (qrels/train.tsv, line 1)."
    )
    write_jsonl(folder / "queries.jsonl", [{"_id": "q1", "text": "which?"}, {"_id": "q1", "text": "why?"}])
    with pytest.raises(FormatError, match=r"queries.jsonl, line 2: the id 'q1' was used in line 1 already"):
        open_source(folder).queries()


@pytest.mark.parametrize("format", ["beir", "table", "collection"])
def test_a_format_may_be_named(tmp_path: Path, format: str) -> None:
    source = open_source(beir(tmp_path), format)
    assert source.format == format
    assert documents_of(source) == DOCUMENTS
    with pytest.raises(ValueError, match="expected one of table, beir"):
        open_source(tmp_path, "word")


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="there is no such file or folder"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(FormatError, match="there is no file in it"):
        open_source(tmp_path)
    with pytest.raises(FormatError, match="this holds judgments only"):
        open_source(write(tmp_path / "qrels.txt", "q1 0 d1 1\n"))


@pytest.mark.parametrize("name", ["../out.csv", "/out.csv", "a/../../out.csv", "C:/out.csv", "a\\..\\..\\out.csv"])
def test_a_zip_with_a_path_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    member = zipfile.ZipInfo(name)
    member.filename = name  # as it is, also where this machine would write it otherwise
    with zipfile.ZipFile(inner / "x.zip", "w") as opened:
        opened.writestr("data.csv", "id,text\na,one\n")
        opened.writestr(member, "id,text\nb,two\n")
    with pytest.raises(FormatError, match=r"leads outside of it. Nothing was unpacked"):
        open_source(inner / "x.zip")
    assert [file.name for file in tmp_path.rglob("*")] == ["inner", "x.zip"]


def zip_of(path: Path, contents: Sequence[tuple[bytes, str]]) -> Path:
    """Write a zip whose members have these bytes as their names, which it does not mark as Unicode."""
    with zipfile.ZipFile(path, "w") as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for place, (name, content) in enumerate(contents):
            opened.writestr(f"{place}".ljust(len(name), "~"), content)
    archive = path.read_bytes()
    for place, (name, _) in enumerate(contents):
        archive = archive.replace(f"{place}".ljust(len(name), "~").encode(), name)
    path.write_bytes(archive)
    return path


def test_a_zip_made_on_windows_with_backslashes_is_read(tmp_path: Path) -> None:
    made = [(b"set\\corpus.csv", "id,text\na,one\n"), (b"set\\sub\\", ""), (b"set\\qrels\\test.tsv", "q1 0 a 1\n")]
    made += [(b"set\\x\\..\\queries.csv", "id,query\nq1,why?\n")]
    source = open_source(zip_of(tmp_path / "x.zip", made))
    assert preview(tmp_path / "x.zip").files == ("corpus.csv", "queries.csv", "qrels/test.tsv")
    assert (documents_of(source), source.qrels()) == ([Document("a", "", "one")], {"q1": {"a": 1.0}})


@pytest.mark.parametrize(
    "name", [b"\\\\server\\out.csv", b"\\out.csv", b"C:\\out.csv", b"C:out.csv", b"a\\..\\..\\b.csv", b".."]
)
def test_paths_with_backslashes_that_lead_outside_are_refused(tmp_path: Path, name: bytes) -> None:
    with pytest.raises(FormatError, match=r"leads outside of it. Nothing was unpacked"):
        open_source(zip_of(tmp_path / "x.zip", [(name, "id,text\na,one\n")]))


@pytest.mark.parametrize(
    ("names", "codec", "guess"),
    [
        (["Größe.txt", "Übung.txt"], "cp437", ""),
        (["Größe.txt", "日本語.txt"], "utf-8", ""),
        (["検索エンジンの文書.txt", "図書館の案内と表.txt"], "cp932", "cp932"),
        (["图书馆的使用说明.txt", "关于文档检索的说明.txt"], "gb18030", "gb18030"),
        (["Описание документов.txt", "Поиск людей.txt"], "cp866", "cp866"),
    ],
)
def test_names_in_old_encodings_are_read_and_a_guess_is_said(
    tmp_path: Path, names: list[str], codec: str, guess: str
) -> None:
    shown = preview(zip_of(tmp_path / "x.zip", [(name.encode(codec), "some text") for name in names]))
    assert sorted(shown.files) == sorted(names)
    said = f"The names of the files in x.zip are not in Unicode; they were read as {guess}, which is a guess."
    assert said in shown.remarks if guess else not any("Unicode" in remark for remark in shown.remarks)


def test_a_zip_with_a_name_twice_and_a_zip_in_a_zip_are_refused(tmp_path: Path) -> None:
    twice = zip_of(tmp_path / "x.zip", [(b"a/data.csv", "id,text\na,one\n"), (b"a\\data.csv", "id,text\nb,two\n")])
    with pytest.raises(FormatError, match=r"x.zip: the zip holds 'a/data.csv' more than once. Zip it again."):
        open_source(twice)
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as opened:
        opened.write(twice, "inner.zip")
    with pytest.raises(FormatError, match=r"y.zip: nothing here can be read, only inner.zip, which has to be unpacked"):
        open_source(tmp_path / "y.zip")


def test_links_bombs_locked_and_broken_zips_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = zipfile.ZipInfo("link.csv")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as opened:
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(FormatError, match=r"holds the link 'link.csv'"):
        open_source(tmp_path / "link.zip")

    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("data.csv", "id,text\n" + "a" * 300_000)
    monkeypatch.setattr(limits, "FREE_TO_COMPRESS", 1000)
    with pytest.raises(FormatError, match="the zip holds 1 files with"):
        open_source(tmp_path / "bomb.zip")
    lying = (tmp_path / "bomb.zip").read_bytes().replace((300_008).to_bytes(4, "little"), (5).to_bytes(4, "little"))
    (tmp_path / "lying.zip").write_bytes(lying)
    with pytest.raises(FormatError, match="damaged"):
        open_source(tmp_path / "lying.zip")

    locked = bytearray((tmp_path / "link.zip").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(mark) + place] |= 1
    (tmp_path / "locked.zip").write_bytes(bytes(locked).replace((0o120777 << 16).to_bytes(4, "little"), bytes(4)))
    with pytest.raises(FormatError, match="encrypted"):
        open_source(tmp_path / "locked.zip")
    with pytest.raises(FormatError, match="damaged or of an unknown kind"):
        open_source(write(tmp_path / "broken.zip", "PK\x03\x04 and no more"))


def test_a_gzip_that_grows_beyond_measure_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"id,text\n" + b"a" * 3_000_000))
    monkeypatch.setattr(limits, "FREE_TO_COMPRESS", 1000)
    with pytest.raises(FormatError, match="which no text does"):
        list(open_source(tmp_path / "x.csv.gz").documents())


REAL = Path(os.environ.get("ERA_COLLECTIONS") or Path(__file__).parents[4] / "shared" / "collections")


@pytest.mark.collections
@pytest.mark.parametrize(
    ("name", "n_documents", "n_queries", "n_judgments", "remarks"),
    [
        ("cranfield", 1398, 225, 1612, ["2 documents without any text were left out: 471, 995."]),
        (
            "recipe_mpr",
            1834,
            500,
            2500,
            ["2 documents have the same text as an earlier one with another id; all were kept."],
        ),
        ("seal_tools", 4076, 2054, 5532, []),
    ],
)
def test_a_real_collection_is_read_whole(
    name: str, n_documents: int, n_queries: int, n_judgments: int, remarks: list[str]
) -> None:
    if not (REAL / name).is_dir():
        pytest.skip(f"There is no {REAL / name}; set ERA_COLLECTIONS to a folder that holds {name}.")
    source = open_source(REAL / name)
    assert source.format == "collection"
    assert len(documents_of(source)) == n_documents
    assert len(source.queries()) == n_queries
    assert sum(map(len, source.qrels().values())) == n_judgments
    assert source.remarks == remarks
