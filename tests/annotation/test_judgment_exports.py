"""Judgments out of a label set: whose marks, with what, and what stays hidden; measured by trec_eval's own reader."""

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest
import pytrec_eval

from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.setup import left_out
from annotation.transfer.judgments import EVERYBODY, export_judgments
from tests.worlds.desk import Desk
from tests.worlds.judging import begin, bring_reference, offer, say
from tests.worlds.words import QRELS


def text_of(desk: Desk, format: Any, who: str = "agreed", author: str | None = "ann", with_notes: bool = False) -> str:
    made = export_judgments(desk.workspace, author, desk.label_set_id, format, who, with_notes)
    assert isinstance(made.content, bytes)
    return made.content.decode()


def objects_of(desk: Desk, who: str = "agreed", author: str | None = "ann", with_notes: bool = False) -> list[Any]:
    return [json.loads(line) for line in text_of(desk, "jsonl", who, author, with_notes).splitlines()]


@pytest.fixture
def discussed(desk: Desk) -> Desk:
    """Ann and ben disagree about one document, ben settles it, cat cannot tell of another."""
    query = desk.query_id("cat-vet")
    say(desk, "ann", query, "cat-illness", 1.0, note="about illness")
    say(desk, "ben", query, "cat-illness", 0.0, note="too short")
    say(desk, "ben", query, "cat-illness", 1.0, is_adjudication=True)
    say(desk, "cat", query, "dog-illness", None, is_unsure=True)
    say(desk, "ann", query, "wren-illness", None, note="look again")
    bring_reference(desk, query, "newt-illness", 0.5)
    offer(desk, query, "cat-illness")  # which is judged, so that nobody may still judge it
    return desk


def test_trec_eval_reads_the_qrels_as_they_are_agreed(judged_desk: Desk) -> None:
    found = pytrec_eval.parse_qrel(io.StringIO(text_of(judged_desk, "qrels")))
    assert found == {
        query_id: {doc_id: int(grade) for doc_id, grade in judged.items()} for query_id, judged in QRELS.items()
    }


def test_the_agreed_grades_name_nobody(discussed: Desk) -> None:
    expected = {"query_id": "cat-vet", "query": "cat", "instruction": "vet", "need": "", "cannot_tell": False}
    assert objects_of(discussed) == [
        expected | {"document_id": "cat-illness", "grade": 1.0},
        expected | {"document_id": "newt-illness", "grade": 0.5},
    ]
    assert objects_of(discussed, with_notes=True)[0]["note"] == "ann: about illness\nben: too short"


def test_everybody_means_every_mark_with_its_person_and_role(discussed: Desk) -> None:
    found = objects_of(discussed, EVERYBODY)
    assert [(each["document_id"], each["person"], each["role"], each["grade"]) for each in found] == [
        ("cat-illness", "ann", "judge", 1.0),
        ("cat-illness", "ben", "judge", 0.0),
        ("cat-illness", "ben", "adjudicator", 1.0),
        ("dog-illness", "cat", "judge", None),
        ("newt-illness", "import", "reference", 0.5),
    ]
    assert [each["cannot_tell"] for each in found] == [False, False, False, True, False]
    assert "note" not in found[0]


def test_notes_are_told_where_asked_for_those_without_a_grade_too(discussed: Desk) -> None:
    found = objects_of(discussed, EVERYBODY, with_notes=True)
    assert {(each["document_id"], each["person"]): each["note"] for each in found if each["note"]} == {
        ("cat-illness", "ann"): "about illness",
        ("cat-illness", "ben"): "too short",
        ("wren-illness", "ann"): "look again",
    }
    assert len(found) == 6


def test_one_person_is_told_alone_and_what_a_person_settled_counts_in_qrels(discussed: Desk) -> None:
    assert {each["person"] for each in objects_of(discussed, "ben")} == {"ben"}
    assert text_of(discussed, "qrels", "ben") == "cat-vet 0 cat-illness 1\n"
    assert text_of(discussed, "qrels", "cat") == ""
    assert {each["person"] for each in objects_of(discussed, EVERYBODY)} == {"ann", "ben", "cat", "import"}


def test_a_table_names_the_documents(discussed: Desk) -> None:
    header, first, *_ = csv.reader(io.StringIO(text_of(discussed, "csv", EVERYBODY).removeprefix("\ufeff")))
    named = dict(zip(header, first, strict=True))
    assert (named["document title"], named["document id"], named["grade"]) == ("cat", "cat-illness", "1")
    assert (named["person"], named["role"], named["cannot tell"]) == ("ann", "judge", "")


def test_queries_without_an_id_are_named_by_their_words(desk: Desk) -> None:
    query = desk.ask("a new question", "for vets")
    say(desk, "ann", query, "cat-illness", 1.0)
    [line] = text_of(desk, "qrels").splitlines()
    name = line.split(" ")[0]
    assert name.startswith("text-")
    assert len(name) == 21
    assert objects_of(desk)[0]["query_id"] == name


def test_what_others_said_stays_hidden_while_one_is_judging(judged_desk: Desk) -> None:
    query = judged_desk.query_id("cat-vet")
    say(judged_desk, "ann", query, "cat-illness", 1.0, note="a note")
    begin(judged_desk, "ben", query)
    for who in ("agreed", EVERYBODY, "ann"):
        of_query = [each for each in objects_of(judged_desk, who, "ben") if each["query_id"] == "cat-vet"]
        assert {each.get("person") for each in of_query} <= {"ben"}
    assert "cat-vet" not in text_of(judged_desk, "qrels", author="ben")
    assert "a note" not in text_of(judged_desk, "csv", author="ben", with_notes=True)
    assert [each["document_id"] for each in objects_of(judged_desk, EVERYBODY, "ben") if each["person"] == "ben"] == [
        "seal-feeding"
    ]
    made = export_judgments(judged_desk.workspace, "ben", judged_desk.label_set_id, "qrels")
    assert made.remarks[0] == left_out(1)
    assert "cat-vet" not in text_of(judged_desk, "qrels", author="dora")  # who may still judge it, too
    say(judged_desk, "ben", query, "moth-feeding", 0.0)
    for author in ("ben", "dora"):
        assert "cat-vet 0 cat-illness 1\n" in text_of(judged_desk, "qrels", author=author)


def test_a_visitor_sees_the_agreed_grades_alone(discussed: Desk) -> None:
    assert len(objects_of(discussed, author=None)) == 2
    for who, with_notes in ((EVERYBODY, False), ("ann", False), ("agreed", True)):
        with pytest.raises(NotAllowedError, match="Sign in"):
            objects_of(discussed, who, None, with_notes)


def test_what_cannot_be_written_is_refused(discussed: Desk) -> None:
    with pytest.raises(InvalidInputError, match="one grade for each document"):
        text_of(discussed, "qrels", EVERYBODY)
    with pytest.raises(InvalidInputError, match="not as 'xml'"):
        text_of(discussed, "xml")


def test_the_file_is_named_after_what_is_in_it(discussed: Desk) -> None:
    made = export_judgments(discussed.workspace, "ann", discussed.label_set_id, "csv", "agreed")
    assert made.name == "animals-My-labels-agreed.csv"
    assert made.media_type == "text/csv"
    empty = export_judgments(discussed.workspace, "ann", discussed.label_set_id, "jsonl", "../nobody")
    assert empty.name == "animals-My-labels-nobody.jsonl"
    assert empty.remarks == ("Nothing is judged that could be written, so the file is empty.",)
    assert replace(empty, remarks=()).content == b""
