"""Judgments into a label set: what was taken out comes in again the same, and what does not fit is said."""

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import storage.documents
import storage.judgments
import storage.queries
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.marks import Mark, judge, start_label_set
from annotation.settings import Settings
from annotation.transfer.judgments import EVERYBODY, ImportedJudgments, export_judgments, import_judgments
from era.errors import FormatError
from storage.records import JudgmentRecord, JudgmentRole
from tests.worlds.desk import Desk, copied_desk
from tests.worlds.judging import bring_reference, decide, offer, say, with_setup
from tests.worlds.words import DOCUMENTS, QRELS

NEW_IDS = ("id", "label_set_id", "query_id", "instruction_id", "client_id", "sequence", "undoes_id")
THEN = datetime(2021, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)


def taken_out(desk: Desk, folder: Path, format: Any, who: str = EVERYBODY, label_set_id: int = 0) -> Path:
    place = label_set_id or desk.label_set_id
    made = export_judgments(desk.workspace, "ann", place, format, who, with_notes=format != "qrels")
    assert isinstance(made.content, bytes)
    path = folder / made.name
    path.write_bytes(made.content)
    return path


def standing(desk: Desk, label_set_id: int) -> list[JudgmentRecord]:
    with desk.workspace.reading() as session:
        return list(storage.judgments.all_current(session, label_set_id))


def alike(desk: Desk, label_set_id: int) -> list[tuple[Any, ...]]:
    """Return everything of the marks that stand but the numbers that the database gives, with words for queries."""
    names = [field.name for field in fields(JudgmentRecord) if field.name not in NEW_IDS]
    found = []
    for mark in standing(desk, label_set_id):
        query = desk.query(mark.query_id)
        found.append((query.text, query.instruction, *(getattr(mark, name) for name in names)))
    return found


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "marks.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def row(document_id: str = "cat-illness", **values: Any) -> dict[str, Any]:
    return {"query_id": "cat-vet", "document_id": document_id, "grade": 1} | values


def bring(desk: Desk, path: Path, author: str | None = "ann") -> ImportedJudgments:
    return import_judgments(desk.workspace, author, desk.label_set_id, path)


@pytest.fixture
def judged_by_many(desk: Desk) -> Desk:
    """Marks of every kind: several people, notes, doubts, a settled conflict, a reference, words of a new query."""
    with_setup(desk, grade_names=("no", "related", "relevant", "perfect"))
    query, other = desk.query_id("cat-vet"), desk.ask("=what moths eat\nand when", "for owners")
    say(desk, "ann", query, "cat-illness", 3.0, note="-exactly, “this”;\n\n'=1")
    mark = Mark(desk.label_set_id, query, "cat-illness", 0.0, 2, "aligned", "a page of ben's", 1, seconds=12.625)
    assert not judge(desk.workspace, "ben", desk.collection.id, [mark]).refused
    say(desk, "cat", query, "cat-illness", 2.0, is_adjudication=True)
    offer(desk, query, "cat-illness")  # so that ann is done
    mark = Mark(desk.label_set_id, other, "moth-feeding", None, None, None, "import-of-ben", 1, is_unsure=True)
    assert not judge(desk.workspace, "ben", desk.collection.id, [mark]).refused  # a file's, so that ann may see it
    say(desk, "ann", other, "moth-feeding", None, note="look again")
    bring_reference(desk, query, "newt-illness", 0.25)
    return desk


@pytest.fixture
def elsewhere(closed_desk: Desk, tmp_path: Path) -> Iterator[Desk]:
    """The same documents and queries in another data folder, with nothing judged."""
    made = copied_desk(closed_desk, tmp_path / "elsewhere")
    yield made
    made.workspace.close()


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_what_was_taken_out_comes_in_the_same_elsewhere(
    judged_by_many: Desk, elsewhere: Desk, tmp_path: Path, format: str
) -> None:
    with_setup(elsewhere, grade_names=("no", "related", "relevant", "perfect"))
    path = taken_out(judged_by_many, tmp_path, format)
    came = bring(elsewhere, path)
    assert came == ImportedJudgments(n_new=6, n_same=0, n_older=0, n_queries_added=1, remarks=())
    expected = alike(judged_by_many, judged_by_many.label_set_id)
    assert len(expected) == 6
    assert alike(elsewhere, elsewhere.label_set_id) == expected
    assert elsewhere.qrels() == {elsewhere.query_id("cat-vet"): {"cat-illness": 2.0, "newt-illness": 0.25}}
    again = taken_out(elsewhere, tmp_path, format)
    assert again.read_bytes() == path.read_bytes()
    assert bring(elsewhere, path) == ImportedJudgments(0, 6, 0, 0, ())


@pytest.mark.parametrize("format", ["qrels", "csv", "jsonl"])
def test_agreed_grades_come_in_as_references_and_are_agreed_again(
    judged_desk: Desk, elsewhere: Desk, tmp_path: Path, format: str
) -> None:
    asked = judged_desk.ask("words of its own")
    say(judged_desk, "ann", asked, "cat-illness", 1.0)
    say(judged_desk, "ann", judged_desk.query_id("cat-vet"), "cat-illness", 0.0)
    came = bring(elsewhere, taken_out(judged_desk, tmp_path, format, "agreed"))
    expected = {query_id: dict(judged) for query_id, judged in QRELS.items()}
    expected["cat-vet"]["cat-illness"] = 0.0
    marks = standing(elsewhere, elsewhere.label_set_id)
    assert {(mark.author, mark.role) for mark in marks} == {("ann", JudgmentRole.REFERENCE)}
    found = {elsewhere.query(query_id).public_id: grades for query_id, grades in elsewhere.qrels().items()}
    if format == "qrels":  # which have no room for words
        assert "queries that this collection does not have were left out: text-" in came.remarks[0]
        assert found == expected
    else:
        assert came.remarks == ()
        assert found == expected | {None: {"cat-illness": 1.0}}


MARKS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, len(DOCUMENTS) - 1),
        st.sampled_from(["ann", "ben", "=cat"]),
        st.one_of(st.sampled_from([0.0, 1.0]), st.none()),
        st.booleans(),
        st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=8),
        st.none() | st.floats(0, 3600, allow_subnormal=False),
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(marks=MARKS, format=st.sampled_from(["csv", "jsonl"]))
def test_any_marks_of_the_desk_come_in_as_they_were(desk: Desk, tmp_path: Path, marks: Any, format: str) -> None:
    first, second = (
        start_label_set(desk.workspace, "ann", desk.collection.id, f"{name} {datetime.now(UTC)}") for name in "ab"
    )
    with desk.workspace.reading() as session:
        queries = [query.id for query in storage.queries.list_all(session, desk.collection.id)]
    for number, (query, document, author, grade, is_adjudication, note, seconds) in enumerate(marks, start=1):
        client_id, doc_id = f"import-{first}-{author}", DOCUMENTS[document].doc_id  # so that ann may see it all
        more: dict[str, Any] = {"is_unsure": grade is None and not note.strip(), "seconds": seconds}
        if is_adjudication:
            more |= {"label_set_id": first, "client_id": client_id, "sequence": number, "note": note.strip()}
            decide(desk, author, queries[query], doc_id, grade, **more)
            continue
        mark = Mark(first, queries[query], doc_id, grade, None, None, client_id, number, note=note, **more)
        assert not judge(desk.workspace, author, desk.collection.id, [mark]).refused
    expected = alike(desk, first)
    path = taken_out(desk, tmp_path, format, label_set_id=first)
    if expected:
        assert import_judgments(desk.workspace, "ann", second, path).n_new == len(expected)
    assert alike(desk, second) == expected
    assert desk.workspace.standings(second).qrels() == desk.workspace.standings(first).qrels()


def test_the_later_word_stays(desk: Desk, tmp_path: Path) -> None:
    query = desk.query_id("cat-vet")
    say(desk, "ann", query, "cat-illness", 0.0)
    stale = row(person="ann", role="judge", at=THEN.isoformat())
    assert bring(desk, write(tmp_path, stale)) == ImportedJudgments(0, 0, 1, 0, ())
    assert desk.qrels() == {query: {"cat-illness": 0.0}}
    # the clock of the file is wrong, but nothing is said in the future
    fresh = stale | {"at": (datetime.now(UTC) + timedelta(days=400)).isoformat()}
    assert bring(desk, write(tmp_path, fresh)).n_new == 1
    assert desk.qrels() == {query: {"cat-illness": 1.0}}
    [mark] = standing(desk, desk.label_set_id)
    assert mark.created_at <= datetime.now(UTC)
    # without a time, whoever brings it in means it now
    assert bring(desk, write(tmp_path, row(person="ann", role="judge", grade=0))).n_new == 1


def test_a_file_without_notes_takes_none_away(desk: Desk, tmp_path: Path) -> None:
    say(desk, "ann", desk.query_id("cat-vet"), "cat-illness", 1.0, note="kept")
    assert bring(desk, write(tmp_path, row(person="ann", role="judge"))).n_same == 1
    assert bring(desk, write(tmp_path, row(person="ann", role="judge", grade=0))).n_new == 1
    [mark] = standing(desk, desk.label_set_id)
    assert (mark.grade, mark.note) == (0.0, "kept")


def test_of_one_persons_marks_on_a_document_the_last_line_counts(desk: Desk, tmp_path: Path) -> None:
    path = write(tmp_path, row(grade=1), row("dog-illness"), row(grade=0))
    assert bring(desk, path).n_new == 2
    assert desk.qrels() == {desk.query_id("cat-vet"): {"dog-illness": 1.0, "cat-illness": 0.0}}


def test_what_the_collection_does_not_have_is_left_out_and_said(desk: Desk, tmp_path: Path) -> None:
    path = write(
        tmp_path, row(), row("whale"), row(query_id="nobody"), row(query_id="", query="new", document_id="whale")
    )
    came = bring(desk, path)
    assert came.n_new == 1
    assert came.remarks == (
        "Judgments of queries that this collection does not have were left out: nobody.",
        "Judgments of documents that this collection does not have were left out: whale.",
    )
    with pytest.raises(InvalidInputError, match=r"Nothing of this file fits here, .* left out: whale"):
        bring(desk, write(tmp_path, row("whale")))


def test_words_tell_more_than_ids(desk: Desk, tmp_path: Path) -> None:
    same = row(query="cat ", instruction="vet")  # as a spreadsheet might have changed it
    other = row(query="another question", instruction="vet", grade=0)
    assert bring(desk, write(tmp_path, same, other)).n_queries_added == 1
    with desk.workspace.reading() as session:
        added = storage.queries.find(session, desk.collection.id, "another question", "vet")
    assert added is not None
    assert added.public_id is None
    assert desk.qrels() == {desk.query_id("cat-vet"): {"cat-illness": 1.0}, added.id: {"cat-illness": 0.0}}


def test_a_new_query_keeps_its_id_and_its_need(desk: Desk, tmp_path: Path) -> None:
    new = row(query_id="n-1", query="what moths eat", instruction="", need="In *detail*")
    bring(desk, write(tmp_path, new, new | {"document_id": "moth-feeding"}))
    stored = desk.query(desk.query_id("n-1"))
    assert (stored.text, stored.need, stored.author) == ("what moths eat", "In *detail*", "ann")
    assert len(desk.qrels()[stored.id]) == 2


def test_where_people_sign_in_nobody_judges_in_the_name_of_others(desk: Desk, tmp_path: Path) -> None:
    people = tmp_path / "people"
    people.write_text("ann:secret\nben:secret\n", encoding="utf-8")
    shared: Settings = desk.workspace.settings.model_copy(update={"people": people})
    desk.workspace.settings = shared
    rows = [row(person="ann", role="judge"), row("dog-illness", person="ben", role="adjudicator", at=THEN.isoformat())]
    came = bring(desk, write(tmp_path, *rows))
    assert came.remarks[0].startswith("Marks of ben came in as references")
    found = {mark.author: (mark.role, mark.created_at == THEN) for mark in standing(desk, desk.label_set_id)}
    assert found == {"ann": (JudgmentRole.JUDGE, False), "ben": (JudgmentRole.REFERENCE, True)}


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        (row(person="ann", grade=3), InvalidInputError, "the grade 3, but grades here are whole and go up to 1"),
        (row(person="ann", grade=0.5), InvalidInputError, "the grade 0.5"),
        (row(person="x" * 101), InvalidInputError, "longer than 100 characters"),
        (row(grade=12), FormatError, "line 2"),
        (row(query="word " * 2000), InvalidInputError, "2,000 words"),
    ],
)
def test_a_file_with_one_bad_line_stores_nothing(
    desk: Desk, tmp_path: Path, line: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        bring(desk, write(tmp_path, row(), line))
    assert standing(desk, desk.label_set_id) == []


def test_references_may_have_any_grade_up_to_ten(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "qrels"
    path.write_text("cat-vet 0 cat-illness 3\ncat-vet 0 dog-illness -1\n", encoding="utf-8")
    assert bring(desk, path).remarks == (
        "1 grade below 0 was left out: such documents are unjudged, as trec_eval has it. "
        "-1 for dog-illness (qrels, line 2).",
    )
    assert desk.qrels() == {desk.query_id("cat-vet"): {"cat-illness": 3.0}}
    path.write_text("cat-vet 0 cat-illness 11\n", encoding="utf-8")
    with pytest.raises(FormatError, match='qrels, line 1, column "grade": expected a number from 0 to 10, not 11'):
        bring(desk, path)


def test_ratings_of_other_tools_name_queries_by_text_and_columns_by_name(desk: Desk, tmp_path: Path) -> None:
    asked = desk.ask("what moths eat", "")
    path = tmp_path / "ratings.csv"
    path.write_text(
        "query,docid,annotator,rating\nwhat  moths eat,moth-feeding,x,1.0\ncat,cat-illness,x,1\nwhales,d,x,1\n"
    )
    came = bring(desk, path)
    assert (came.n_new, came.n_queries_added) == (1, 0)
    assert desk.qrels() == {asked: {"moth-feeding": 1.0}}
    assert came.remarks == (
        "Of ratings.csv, these columns are not read: annotator.",
        "Judgments of queries that this collection does not have were left out: whales.",
        "Judgments of documents that this collection does not have were left out: d.",
        "Judgments were left out since several queries have the text that they name: cat.",
    )


def test_two_grades_of_one_pair_are_said(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "dup.txt"
    path.write_text("cat-vet 0 cat-illness 1\ncat-vet 0 cat-illness 0\n", encoding="utf-8")
    assert bring(desk, path).remarks == (
        "1 judgment contradicts an earlier one of the same query and document; the last holds. "
        "cat-illness: 1 (dup.txt, line 1), then 0 (dup.txt, line 2).",
    )
    assert desk.qrels() == {desk.query_id("cat-vet"): {"cat-illness": 0.0}}


def test_only_who_is_signed_in_brings_judgments_in(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(NotAllowedError, match="Sign in"):
        bring(desk, write(tmp_path, row()), None)


def test_the_text_that_was_judged_is_remembered(desk: Desk, tmp_path: Path) -> None:
    bring(desk, write(tmp_path, row(content_hash="a" * 64), row("dog-illness")))
    hashes = {mark.doc_id: mark.content_hash for mark in standing(desk, desk.label_set_id)}
    with desk.workspace.reading() as session:
        [document] = storage.documents.get_many(session, desk.collection.id, ["dog-illness"]).values()
    assert hashes == {"cat-illness": "a" * 64, "dog-illness": document.content_hash}
