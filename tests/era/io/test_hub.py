import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import datasets.config
import huggingface_hub.errors
import pytest
from datasets.exceptions import DataFilesNotFoundError, DatasetNotFoundError

from era.errors import FormatError, SourceUnreachable
from era.io import hub
from era.io.opening import is_hub_name, open_hub, open_source, preview_hub
from era.types import Document, Query
from tests.era.io.writing_files import documents_of, write, write_jsonl


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))


def card(folder: Path, parts: dict[str, dict[str, str]], sizes: str = "") -> None:
    """Write a dataset card that says which files make up which part and split."""
    configs = [
        {"config_name": part, "data_files": [{"split": split, "path": path} for split, path in splits.items()]}
        for part, splits in parts.items()
    ]
    write(folder / "README.md", f"---\nconfigs: {json.dumps(configs)}\n{sizes}---\n")


def beir(folder: Path, prefix: str = "") -> Path:
    write_jsonl(
        folder / f"{prefix}corpus.jsonl",
        [{"_id": "d1", "title": "One", "text": "first"}, {"_id": "d2", "text": "second"}],
    )
    write_jsonl(folder / f"{prefix}queries.jsonl", [{"_id": "q1", "text": "which?"}, {"_id": "q2", "text": "why?"}])
    rows = [{"query-id": "q1", "corpus-id": "d1", "score": 2.0}, {"query-id": "gone", "corpus-id": "d1", "score": 1.0}]
    write_jsonl(folder / f"qrels/{prefix}test.jsonl", [*rows, {"query-id": "q2", "corpus-id": "d2", "score": 99.0}])
    return folder


def test_the_layout_of_beir_and_mteb_is_read(tmp_path: Path) -> None:
    folder = beir(tmp_path / "scifact")
    sizes = (
        "dataset_info: "
        + json.dumps([{"config_name": "corpus", "splits": [{"name": "corpus", "num_examples": 2}]}])
        + "\n"
    )
    parts = {
        "default": {"test": "qrels/test.jsonl"},
        "corpus": {"corpus": "corpus.jsonl"},
        "queries": {"queries": "queries.jsonl"},
    }
    card(folder, parts, sizes)
    source = open_hub(str(folder))
    assert (source.format, source.name) == ("hub", "scifact")
    assert documents_of(source) == [Document("d1", "One", "first"), Document("d2", "", "second")]
    assert [each.query for each in source.queries()] == [Query("q1", "which?"), Query("q2", "why?")]
    assert source.qrels() == {"q1": {"d1": 2.0}, "q2": {"d2": 99.0}}
    assert source.remarks == [
        "1 judgment of a query that is not there was left out: gone.",
        "1 grade is above 10, where the scale of the app ends. 99 for q2, d2 (scifact/default/test, row 3).",
    ]
    seen = preview_hub(str(folder), n=1)
    assert [each.document.doc_id for each in seen.documents] == ["d1"]
    assert (seen.n_documents, seen.n_qrels) == (2, 2)
    assert seen.files == ("scifact/corpus/corpus", "scifact/queries/queries", "scifact/default/test")


def test_parquet_files_and_instructions_of_their_own_are_read(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    parts: dict[str, list[dict[str, Any]]] = {
        "corpus": [{"_id": 1, "title": None, "text": "first"}],
        "queries": [{"_id": "q1", "text": "which?"}, {"_id": "q2", "text": "why?"}],
        "instruction": [{"query-id": "q1", "instruction": "Find the first."}],
    }
    folder = tmp_path / "core17"
    folder.mkdir()
    for part, rows in parts.items():
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"{part}.parquet")
    card(folder, {part: {part: f"{part}.parquet"} for part in parts})
    source = open_hub(str(folder))
    assert documents_of(source) == [Document("1", "", "first")]
    assert [each.query for each in source.queries()] == [
        Query("q1", "which?", "Find the first."),
        Query("q2", "why?", ""),
    ]


def test_one_of_several_languages_is_chosen(tmp_path: Path) -> None:
    folder = tmp_path / "several"
    parts: dict[str, dict[str, str]] = {}
    for language in ("de", "en"):
        beir(folder, f"{language}-")
        parts |= {f"{language}-{part}": {part: f"{language}-{part}.jsonl"} for part in ("corpus", "queries")}
        parts[f"{language}-qrels"] = {"test": f"qrels/{language}-test.jsonl"}
    card(folder, parts)
    with pytest.raises(FormatError, match="This dataset has several; choose one of: de, en"):
        open_hub(str(folder))
    source = open_hub(str(folder), "de")
    assert source.name == "several de"
    assert source.qrels() == {"q1": {"d1": 2.0}, "q2": {"d2": 99.0}}


def mair(folder: Path) -> Path:
    row: dict[str, Any] = {"qid": "q1", "instruction": "Find.", "query": "which?", "labels": [{"id": "d1", "score": 1}]}
    for name in ("IFEval/", "CQA/android_", "CQA/english_"):
        write_jsonl(folder / f"MAIR-Queries/{name}queries.jsonl", [row])
        write_jsonl(folder / f"MAIR-Docs/{name}docs.jsonl", [{"id": "d1", "doc": f"first of {name}"}])
    for part, what in (("MAIR-Queries", "queries"), ("MAIR-Docs", "docs")):
        several = {f"{name}_{what}": f"CQA/{name}_{what}.jsonl" for name in ("android", "english")}
        card(folder / part, {"IFEval": {what: f"IFEval/{what}.jsonl"}, "CQA": several})
    return folder


def test_the_layout_of_mair_is_read(tmp_path: Path) -> None:
    folder = mair(tmp_path / "MAIR")
    source = open_hub(str(folder), "IFEval")
    assert documents_of(source) == [Document("d1", "", "first of IFEval/")]
    assert [each.query for each in source.queries()] == [Query("q1", "which?", "Find.")]
    assert source.qrels() == {"q1": {"d1": 1.0}}
    assert documents_of(open_hub(str(folder / "MAIR-Docs"), "CQA/english")) == [
        Document("d1", "", "first of CQA/english_")
    ]
    with pytest.raises(FormatError, match=r"CQA is several collections. Name one, such as CQA/android"):
        open_hub(str(folder), "CQA")
    with pytest.raises(FormatError, match="name the task of MAIR, one of: IFEval, CQA"):
        open_hub(str(folder))


def test_a_dataset_of_another_layout_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "x" / "train.jsonl", [{"text": "a"}])
    with pytest.raises(FormatError, match='expected parts named "corpus", "queries" and "default"'):
        open_hub(str(tmp_path / "x"))


@pytest.mark.parametrize("outside", ["{secret}", "../secret.jsonl"])
def test_files_outside_of_the_dataset_are_not_read(tmp_path: Path, outside: str) -> None:
    secret = write_jsonl(tmp_path / "secret.jsonl", [{"_id": "1", "text": "secret"}])
    folder = beir(tmp_path / "scifact")
    card(folder, {"corpus": {"corpus": outside.format(secret=secret)}, "queries": {"queries": "queries.jsonl"}})
    with pytest.raises(FormatError, match=r"files outside of its repository|could not be opened"):
        list(open_hub(str(folder)).documents())


def test_formats_that_are_more_than_data_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    write(folder / "corpus.txt", "text")
    card(folder, {"corpus": {"corpus": "corpus.txt"}})
    with pytest.raises(FormatError, match="kept as 'text'; JSON, CSV, Parquet and Arrow can be read"):
        open_hub(str(folder))


def test_only_names_of_the_hub_are_taken_for_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_hub_name("mteb/scifact")
    for name in ("", "scifact", "/etc", "../x", "a/../b", "a/b/c", "./a", "https://x/y", "a/b\n", str(tmp_path)):
        assert not is_hub_name(name), name
    (tmp_path / "mteb" / "scifact").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_hub_name("mteb/scifact")  # `datasets` would read the folder
    with pytest.raises(FormatError, match="Write its name as owner/name"):
        open_hub("mteb/scifact")


def test_a_hub_that_cannot_be_reached_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach 'mteb/none' on the Hub.\nand more")

    monkeypatch.setattr(datasets, "get_dataset_config_names", unreachable)
    with pytest.raises(
        FormatError, match=r"mteb/none: could not be opened \(Couldn't reach 'mteb/none' on the Hub\)\. Check"
    ):
        open_hub("mteb/none")


class Builder:
    """Stands for what `datasets` reads a part of a dataset with."""

    def __init__(self, part: str, error: Exception | None = None) -> None:
        self.config = type("Config", (), {"data_files": {part: [f"hf://datasets/mteb/x@abc/{part}.jsonl"]}})
        self.info = type("Info", (), {"splits": None})
        self.error = error

    def as_streaming_dataset(self, split: str) -> Iterator[dict[str, str]]:
        yield {"_id": "1", "text": split}
        if self.error is not None:
            raise self.error


Builder.__module__ = "datasets.packaged_modules.json.json"

UNREACHABLE = [ConnectionError("no route"), TimeoutError("too slow"), huggingface_hub.errors.HTTPError("no answer")]  # type: ignore[attr-defined]
LASTING = [ValueError("no such part"), DatasetNotFoundError("no such dataset"), DataFilesNotFoundError("empty")]


@pytest.mark.parametrize("error", [*UNREACHABLE, *LASTING], ids=repr)
@pytest.mark.parametrize("step", ["get_dataset_config_names", "load_dataset_builder", "as_streaming_dataset"])
def test_what_may_work_later_is_told_from_what_will_not(
    monkeypatch: pytest.MonkeyPatch, error: Exception, step: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda name, revision: ["corpus"])
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda name, config, revision: Builder(config, error))
    if step != "as_streaming_dataset":
        monkeypatch.setattr(datasets, step, fail)
    with pytest.raises(FormatError) as raised:
        documents_of(open_hub("mteb/x"))
    assert isinstance(raised.value, SourceUnreachable) == (error in UNREACHABLE)


def test_columns_that_were_chosen_are_read(tmp_path: Path) -> None:
    folder = beir(tmp_path / "scifact")
    card(folder, {"corpus": {"corpus": "corpus.jsonl"}, "queries": {"queries": "queries.jsonl"}})
    chosen = {"id": "", "text": "title"}
    seen = preview_hub(str(folder), mapping=chosen)
    assert (seen.columns, seen.mapping) == (("_id", "title", "text"), {"text": ("title",)})
    assert [(each.document.doc_id, each.document.title, each.document.text) for each in seen.documents] == [
        ("1", "", "One")
    ]
    assert "There is no column of ids, so the documents are numbered." in seen.remarks
    assert documents_of(open_hub(str(folder), mapping=chosen)) == [Document("1", "", "One")]
    assert documents_of(open_source(folder, "hub", {"id": "_id", "text": "title"})) == [Document("d1", "", "One")]
    for mapping, problem in (({"text": "said"}, 'column "said": there is no such'), ({"id": "_id"}, "choose the col")):
        with pytest.raises(FormatError, match=problem):
            open_hub(str(folder), mapping=mapping)
    for task in ("CQA/english", "IFEval"):
        source = open_hub(str(mair(tmp_path / "MAIR")), task, mapping={"id": "id", "title": "id", "text": "doc"})
        assert [each.title for each in documents_of(source)] == ["d1"]


def test_the_revision_and_the_repository_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def build(name: str, config: str, revision: str) -> Builder:
        asked.append((name, config, revision))
        return Builder(config)

    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda name, revision: ["corpus", "queries"])
    monkeypatch.setattr(datasets, "load_dataset_builder", build)
    source = open_hub("mteb/x", revision="abc")
    assert asked == [("mteb/x", "corpus", "abc"), ("mteb/x", "queries", "abc")]
    assert documents_of(source) == [Document("1", "", "corpus")]
    assert source.remarks == ["This dataset has no judgments."]
    hub._check_safe("mteb/x", Builder("corpus"), ["hf://datasets/mteb/x@abc/corpus.jsonl"])
    for file in ("/etc/passwd", "hf://datasets/other/x@abc/corpus.jsonl", "zip://a::hf://datasets/mteb/x@abc/c.zip"):
        with pytest.raises(FormatError, match="outside of its repository"):
            hub._check_safe("mteb/x", Builder("corpus"), [file])
