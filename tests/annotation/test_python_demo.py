"""The Python demonstration collection: real docstrings without side effects, and judgments that fit it."""

import csv
import json
import os
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from annotation.demo.demo import read_judgments, read_queries
from annotation.demo.python_docs import DATA, DESCRIPTION, NAME, build_documents, metadata_of, python_docs
from era.types import Document

REPOSITORY = Path(__file__).parents[2]

STATE_UNCHANGED = """
import io, locale, os, signal, sys, threading, warnings

def state():
    return {
        "sys.path": list(sys.path),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "locale": locale.setlocale(locale.LC_ALL),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "threads": threading.active_count(),
        "environment": dict(os.environ),
        "warning filters": list(warnings.filters),
        "working directory": os.getcwd(),
    }

before = state()
from annotation.demo.python_docs import build_documents
build_documents()
after = state()
changed = [name for name in before if before[name] != after[name]]
acting = {"readline", "tkinter", "turtle", "this", "antigravity", "idlelib"} & set(sys.modules)
sys.exit(f"changed: {changed}, imported: {acting}" if changed or acting else 0)
"""


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    return {document.doc_id: document for document in build_documents()}


def test_build_documents_gives_a_collection_of_distinct_documents() -> None:
    built = build_documents()
    ids = [document.doc_id for document in built]
    assert len(built) >= 3000
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert all(document.text.strip() for document in built)
    assert all(document.title == document.doc_id for document in built)


def test_build_documents_keeps_texts_short() -> None:
    lengths = [len(document.text.split()) for document in build_documents()]
    assert 20 <= sum(lengths) / len(lengths) <= 45
    assert max(lengths) <= 120


@pytest.mark.parametrize(
    "doc_id",
    [
        "heapq.nlargest",
        "pathlib.Path.glob",
        "pathlib.Path.exists",
        "str.removeprefix",
        "str.replace",
        "functools.lru_cache",
        "sorted",
        "open",
        "OSError",
        "dict.setdefault",
        "os.path.join",
        "random.choice",
        "collections.abc.Mapping",
        "socket.socket.recv",
        "concurrent.futures.ThreadPoolExecutor",
        "xml.etree.ElementTree.iterparse",
        "logging.handlers.RotatingFileHandler",
        "unittest.mock.patch",
    ],
)
def test_build_documents_uses_public_names(documents: dict[str, Document], doc_id: str) -> None:
    assert doc_id in documents


@pytest.mark.parametrize(
    "doc_id",
    [
        "builtins.sorted",
        "_heapq.heappush",
        "pathlib._local.Path.glob",
        "pathlib.PosixPath.exists",
        "posixpath.join",
        "EnvironmentError",
        "bytearray.replace",
    ],
)
def test_build_documents_leaves_out_private_and_second_names(documents: dict[str, Document], doc_id: str) -> None:
    assert doc_id not in documents


def test_build_documents_shows_no_private_part_in_a_name(documents: dict[str, Document]) -> None:
    assert not [doc_id for doc_id in documents if any(part.startswith("_") for part in doc_id.split("."))]


def test_build_documents_gives_inherited_text_once(documents: dict[str, Document]) -> None:
    by_method = Counter((doc_id.rpartition(".")[2], document.text) for doc_id, document in documents.items())
    assert by_method.most_common(1)[0][1] == 1


def test_build_documents_takes_text_from_the_docstring(documents: dict[str, Document]) -> None:
    assert documents["str.casefold"].text == "Return a version of the string suitable for caseless comparisons."


def test_build_documents_prints_nothing_and_changes_no_state_in_a_fresh_process() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", STATE_UNCHANGED],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_build_documents_works_in_another_thread(documents: dict[str, Document]) -> None:
    built: list[Document] = []
    thread = threading.Thread(target=lambda: built.extend(build_documents()))
    thread.start()
    thread.join()
    assert {document.doc_id for document in built} == set(documents)


def test_collection_has_a_name_and_one_sentence_about_it() -> None:
    assert NAME == "Python standard library"
    assert DESCRIPTION.endswith(".")
    assert DESCRIPTION.count(". ") == 0


def test_read_queries_reads_every_line() -> None:
    queries = read_queries(DATA)
    first = json.loads((DATA / "queries.jsonl").read_text(encoding="utf-8").partition("\n")[0])
    assert len(queries) == (DATA / "queries.jsonl").read_text(encoding="utf-8").count("\n") >= 40
    assert (queries[0].query_id, queries[0].text, queries[0].instruction) == tuple(first.values())
    assert len({query.query_id for query in queries}) == len(queries)
    assert all(query.text and query.instruction for query in queries)


def test_queries_use_several_instructions() -> None:
    assert 3 <= len({query.instruction for query in read_queries(DATA)}) <= 6


def test_queries_are_intentions_and_not_keywords() -> None:
    lengths = [len(query.text.split()) for query in read_queries(DATA)]
    assert min(lengths) >= 8
    assert max(lengths) <= 45


def test_read_judgments_reads_every_row_once() -> None:
    with (DATA / "judgments.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert rows[0] == ["query_id", "doc_id", "relevance"]
    judgments = read_judgments(DATA)
    assert sum(len(grades) for grades in judgments.values()) == len(rows) - 1
    assert {grade for grades in judgments.values() for grade in grades.values()} == {0, 1}


def test_every_query_is_judged_on_both_sides() -> None:
    judgments = read_judgments(DATA)
    assert set(judgments) == {query.query_id for query in read_queries(DATA)}
    for query_id, grades in judgments.items():
        counts = Counter(grades.values())
        assert counts[1] >= 1, query_id
        assert counts[0] >= 2, query_id
        assert 3 <= len(grades) <= 10, query_id


def test_every_judged_document_is_in_the_collection(documents: dict[str, Document]) -> None:
    judged = {doc_id for grades in read_judgments(DATA).values() for doc_id in grades}
    assert judged <= set(documents)


def test_same_text_under_another_instruction_has_other_relevant_documents() -> None:
    judgments = read_judgments(DATA)
    by_text = defaultdict(list)
    for query in read_queries(DATA):
        by_text[query.text].append(query)
    pairs = [group for group in by_text.values() if len(group) > 1]
    assert len(pairs) >= 2
    for group in pairs:
        assert len({query.instruction for query in group}) == len(group)
        relevant = [
            frozenset(doc_id for doc_id, grade in judgments[query.query_id].items() if grade) for query in group
        ]
        assert len(set(relevant)) == len(group)


def test_metadata_names_the_module_of_each_document() -> None:
    documents = [Document(name, name, "") for name in ("heapq.nlargest", "abs", "collections.abc.Sequence.count")]
    assert [facts["module"] for facts in metadata_of(documents).values()] == ["heapq", "builtins", "collections.abc"]


def test_python_docs_puts_the_collection_together(documents: dict[str, Document]) -> None:
    demo = python_docs()
    assert (demo.name, demo.description) == (NAME, DESCRIPTION)
    assert {document.doc_id for document in demo.documents} == set(demo.metadata) == set(documents)
    assert [query.query_id for query in demo.queries] == [query.query_id for query in read_queries(DATA)]
    assert set(demo.judgments) == {query.query_id for query in demo.queries}
