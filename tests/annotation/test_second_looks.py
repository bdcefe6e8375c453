"""Second looks: what speaks against one's own marks, and conflicts until somebody settles them."""

from pathlib import Path

import pytest

from annotation.judging import review
from annotation.judging.review import LookAgain, lay_out_again, lay_out_conflicts, marks_to_look_at
from annotation.judging.view import Desk as LaidOut
from annotation.judging.view import Opinion, Said
from annotation.workspace import Workspace
from era.encoders.base import EmbedderPair
from storage.records import JudgmentRole
from tests.worlds.desk import Desk, new_desk, small_world, staged_pair, swapped_topics
from tests.worlds.judging import (
    COPY,
    DOC_IDS,
    begin,
    bring_reference,
    decide,
    ids,
    offer,
    say,
    say_all,
    with_setup,
    write_query,
)
from tests.worlds.words import DOCUMENTS, light_embedder


def found(desk: Desk, author: str | None) -> list[LookAgain]:
    return marks_to_look_at(desk.workspace, author, desk.collection.id, desk.label_set_id)


def doubted(desk: Desk, author: str | None) -> list[LookAgain]:
    return [each for each in found(desk, author) if each.reason != "drawn"]


def again(desk: Desk, author: str | None) -> LaidOut:
    return lay_out_again(desk.workspace, author, desk.collection.id, desk.label_set_id)


def conflicts(desk: Desk, author: str | None) -> LaidOut:
    return lay_out_conflicts(desk.workspace, author, desk.collection.id, desk.label_set_id)


def listed(laid_out: LaidOut) -> list[tuple[int, str]]:
    return [(card.query.id, card.document.doc_id) for card in laid_out.cards]


# --- one's own marks


def test_marks_to_look_at_differ_from_an_imported_mark(desk: Desk) -> None:
    cat = write_query(desk, "cat")
    bring_reference(desk, cat.id, "cat-feeding", 1.0)
    bring_reference(desk, cat.id, "cat-illness", 0.0)
    say(desk, "ann", cat.id, "cat-feeding", 0.0)
    say(desk, "ann", cat.id, "cat-illness", 0.0)
    say(desk, "ben", cat.id, "cat-illness", 1.0)
    offer(desk, cat.id, "cat-illness")  # so that both are done
    why_of = {card.document.doc_id: card.why for card in again(desk, "ann").cards}
    assert why_of == {
        "cat-feeding": {"code": "reference-differs", "rank": None, "other": None, "other_grade": 1.0},
        "cat-illness": {"code": "drawn", "rank": None, "other": None, "other_grade": None},
    }
    assert listed(again(desk, "ben")) == [(cat.id, "cat-illness")]
    say(desk, "ann", cat.id, "cat-feeding", 1.0)
    assert (listed(again(desk, "ann")), found(desk, None), found(desk, "cora")) == ([], [], [])


def test_marks_to_look_at_differ_between_near_duplicates(tmp_path: Path) -> None:
    made = new_desk(tmp_path / "copies", small_world(documents=[*DOCUMENTS, COPY]))
    cat, dog = write_query(made, "cat"), write_query(made, "dog")
    say(made, "ann", cat.id, "cat-feeding", 1.0)
    say(made, "ann", dog.id, COPY.doc_id, 0.0)  # another query
    say(made, "ben", cat.id, COPY.doc_id, 0.0)  # another person
    nothing = found(made, "ann")
    say(made, "ann", cat.id, COPY.doc_id, 0.0)
    why_of = {(card.query.id, card.document.doc_id): card.why for card in again(made, "ann").cards}
    made.workspace.close()
    assert nothing == []
    assert why_of == {  # and not the copy that it differs from
        (cat.id, COPY.doc_id): {"code": "duplicates-differ", "rank": None, "other": "cat", "other_grade": 1.0},
        (dog.id, COPY.doc_id): {"code": "drawn", "rank": None, "other": None, "other_grade": None},
    }


def test_marks_to_look_at_contradict_a_ranking_that_never_saw_them(judged_desk: Desk) -> None:
    cat, dog = write_query(judged_desk, "cat laws"), write_query(judged_desk, "dog laws")
    illness_of_cats = light_embedder().encode_documents(["cat illness illness"])[0]
    for query in (cat, dog):
        say(judged_desk, "ann", query.id, "cat-illness", 0.0)
        say(judged_desk, "ann", query.id, "cat-feeding", 1.0)
    assert found(judged_desk, "ann") == []
    judged_desk.finish_by_hand(swapped_topics(), {cat.id: illness_of_cats})
    assert doubted(judged_desk, "ann") == [
        LookAgain(cat.id, "cat-illness", 0.0, "ranked-high", 1, None, None, 1.0)
    ]  # and not for dog, which the run did not learn from
    assert 1 in [card.why["rank"] for card in again(judged_desk, "ann").cards]


def test_as_many_marks_come_along_that_nothing_speaks_against(desk: Desk) -> None:
    cat, dog = write_query(desk, "cat"), write_query(desk, "dog")
    for doc_id in DOC_IDS[:3]:
        bring_reference(desk, cat.id, doc_id, 1.0)
        say(desk, "ann", cat.id, doc_id, 0.0)
    say_all(desk, "ann", dog.id, DOC_IDS[:10], 1.0)
    say(desk, "ann", dog.id, DOC_IDS[10], None, is_unsure=True)
    say_all(desk, "ben", dog.id, DOC_IDS[:10], 1.0)
    looks = found(desk, "ann")
    drawn = [each for each in looks if each.reason == "drawn"]
    assert {(each.query_id, each.doc_id) for each in doubted(desk, "ann")} == {(cat.id, each) for each in DOC_IDS[:3]}
    assert len({each.doc_id for each in drawn}) == 3
    assert {(each.query_id, each.grade) for each in drawn} == {(dog.id, 1.0)}
    assert listed(again(desk, "ann")) == [(each.query_id, each.doc_id) for each in looks]
    assert found(desk.again(), "ann") == looks
    say(desk, "ann", cat.id, DOC_IDS[0], 1.0)
    assert (len(doubted(desk, "ann")), len(found(desk, "ann"))) == (2, 4)


def test_marks_of_another_text_come_first_and_none_is_drawn_for_them(desk: Desk) -> None:
    cat = write_query(desk, "cat")
    say_all(desk, "ann", cat.id, DOC_IDS[:6], 1.0)
    say(desk, "ann", cat.id, DOC_IDS[6], 1.0, content_hash="0" * 64)
    assert [each.reason for each in found(desk, "ann")] == ["text-changed"]
    bring_reference(desk, cat.id, DOC_IDS[0], 0.0)
    reasons = [each.reason for each in found(desk, "ann")]
    assert (reasons[0], sorted(reasons[1:])) == ("text-changed", ["drawn", "reference-differs"])


def test_marks_to_look_at_before_the_collection_is_open_are_those_against_imported_ones(desk: Desk) -> None:
    cat, label_set_id = write_query(desk, "cat"), desk.label_set_id
    bring_reference(desk, cat.id, "cat-feeding", 1.0)
    say(desk, "ann", cat.id, "cat-feeding", 0.0)
    desk.workspace.close()
    waiting = Workspace(desk.workspace.settings, lambda spec, device: EmbedderPair(*staged_pair()))
    try:
        laid_out = lay_out_again(waiting, "ann", desk.collection.id, label_set_id)
    finally:
        waiting.close()
    assert listed(laid_out) == [(cat.id, "cat-feeding")]


def test_lay_out_again_shows_what_the_person_said_and_nobody_else(desk: Desk) -> None:
    cat = write_query(desk, "cat")
    bring_reference(desk, cat.id, "cat-feeding", 1.0)
    say(desk, "ben", cat.id, "cat-feeding", 1.0, note="theirs")
    say(desk, "ann", cat.id, "cat-feeding", 0.0, note="mine")
    offer(desk, cat.id, "cat-feeding")  # so that both are done
    laid_out = again(desk, "ann")
    assert (laid_out.view, laid_out.query) == ("again", None)
    assert laid_out.said == {cat.id: {"cat-feeding": Said(0.0, False, "mine")}}
    assert laid_out.revealed == {}
    assert "theirs" not in repr(laid_out)


def test_lay_out_again_does_not_tell_what_an_adjudicator_decided(desk: Desk) -> None:
    cat = write_query(desk, "cat")
    bring_reference(desk, cat.id, "cat-feeding", 1.0)
    say(desk, "ann", cat.id, "cat-feeding", 0.0)
    decide(desk, "ben", cat.id, "dog-feeding", 1.0, note="decided")
    assert "decided" not in repr(again(desk, "ann"))


def test_marks_to_look_at_are_found_without_the_ranking_of_a_damaged_adapter(judged_desk: Desk) -> None:
    cat = write_query(judged_desk, "cat laws")
    bring_reference(judged_desk, cat.id, "cat-feeding", 1.0)
    say(judged_desk, "ann", cat.id, "cat-feeding", 0.0)
    run = judged_desk.finish_by_hand(swapped_topics())
    for file in judged_desk.workspace.adapter_folder(run.id).iterdir():
        file.write_bytes(b"damaged")
    assert [each.doc_id for each in found(judged_desk, "ann")] == ["cat-feeding"]


def test_second_looks_list_no_more_than_can_be_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "MAX_LISTED", 1)
    cat = write_query(desk, "cat")
    for doc_id in ("cat-feeding", "cat-illness"):
        bring_reference(desk, cat.id, doc_id, 1.0)
        say(desk, "ann", cat.id, doc_id, 0.0)
        say(desk, "ben", cat.id, doc_id, 1.0)
    offer(desk, cat.id, "cat-feeding")  # so that ann is done
    assert (len(found(desk, "ann")), len(conflicts(desk, "ann").cards)) == (1, 1)


def test_settled_document_with_another_text_is_settled_again(desk: Desk) -> None:
    cat, now = write_query(desk, "cat"), "0" * 64
    say(desk, "ben", cat.id, "cat-illness", 0.0, note="theirs")
    decide(desk, "ann", cat.id, "cat-illness", 1.0, content_hash=now)
    laid_out = again(desk, "ann")
    [card] = laid_out.cards
    assert (card.document.doc_id, card.why["code"], card.is_adjudication) == ("cat-illness", "text-changed", True)
    assert (laid_out.settled, laid_out.said) == ({cat.id: {"cat-illness": Said(1.0, False, "")}}, {cat.id: {}})
    say(desk, "ann", cat.id, "cat-illness", 1.0)  # which says nothing of the decision
    assert listed(again(desk, "ann")) == [(cat.id, "cat-illness")]
    say(desk, "ann", cat.id, "cat-illness", 1.0, is_adjudication=True)
    assert listed(again(desk, "ann")) == []


def test_document_judged_and_settled_with_another_text_is_looked_at_as_judged_first(desk: Desk) -> None:
    cat = write_query(desk, "cat")
    decide(desk, "ann", cat.id, "cat-illness", 1.0, content_hash="0" * 64)
    say(desk, "ann", cat.id, "cat-illness", 1.0, content_hash="0" * 64)
    seen = []
    for _ in range(2):
        [card] = again(desk, "ann").cards
        seen.append(card.is_adjudication)
        say(desk, "ann", cat.id, "cat-illness", 1.0, is_adjudication=card.is_adjudication)
    assert (seen, listed(again(desk, "ann"))) == ([False, True], [])


# --- conflicts


def test_conflicts_list_what_the_person_has_settled_after_what_is_open(desk: Desk) -> None:
    cat, dog = write_query(desk, "cat"), write_query(desk, "dog")
    for query, doc_id in ((cat, "cat-illness"), (dog, "dog-feeding")):
        say(desk, "ann", query.id, doc_id, 0.0)
        say(desk, "ben", query.id, doc_id, 1.0)
        offer(desk, query.id, doc_id)  # so that both are done
    say(desk, "ann", cat.id, "cat-illness", 1.0, is_adjudication=True)
    laid_out = conflicts(desk, "ann")
    assert listed(laid_out) == [(dog.id, "dog-feeding"), (cat.id, "cat-illness")]
    assert [(dict(card.why), card.is_adjudication) for card in laid_out.cards] == [
        ({"code": "conflict"}, True),
        ({"code": "settled"}, True),
    ]
    assert laid_out.settled[cat.id] == {"cat-illness": Said(1.0, False, "")}
    assert listed(conflicts(desk, "ben")) == [(dog.id, "dog-feeding")]  # who has settled nothing
    say(desk, "ann", cat.id, "cat-illness", None, is_adjudication=True)
    assert [dict(card.why) for card in conflicts(desk, "ann").cards] == [{"code": "conflict"}] * 2


def test_what_the_person_has_settled_stays_hidden_while_the_query_is_being_judged(desk: Desk) -> None:
    with_setup(desk, n_judges=3)
    cat = write_query(desk, "cat")
    say(desk, "ben", cat.id, "cat-illness", 1.0)
    say(desk, "ann", cat.id, "cat-illness", 0.0)
    offer(desk, cat.id, "cat-illness")
    say(desk, "ann", cat.id, "cat-illness", 0.0, is_adjudication=True)
    assert listed(conflicts(desk, "ann")) == [(cat.id, "cat-illness")]
    begin(desk, "ann", cat.id)
    assert listed(conflicts(desk, "ann")) == []


def test_conflicts_list_what_judges_disagree_about_with_what_each_said(desk: Desk) -> None:
    dog, cat = write_query(desk, "dog"), write_query(desk, "cat")
    say(desk, "ann", cat.id, "cat-illness", 0.0)
    say(desk, "ben", cat.id, "cat-illness", 1.0, note="a vet's text")
    say(desk, "cora", cat.id, "cat-illness", None, is_unsure=True, note="no idea")
    say(desk, "ann", cat.id, "cat-feeding", 1.0)
    say(desk, "ben", cat.id, "cat-feeding", 1.0, note="agreed")
    say(desk, "ann", dog.id, "dog-feeding", 1.0)
    say(desk, "ben", dog.id, "dog-feeding", 0.0)
    offer(desk, dog.id, "dog-feeding")  # so that ann is done
    offer(desk, cat.id, "cat-illness")
    laid_out = conflicts(desk, "ann")
    assert (laid_out.view, laid_out.query) == ("conflicts", None)
    assert listed(laid_out) == [(dog.id, "dog-feeding"), (cat.id, "cat-illness")]
    assert [card.why for card in laid_out.cards] == [{"code": "conflict"}] * 2
    assert laid_out.revealed.keys() == {dog.id, cat.id}
    [(doc_id, revealed)] = laid_out.revealed[cat.id].items()
    assert doc_id == "cat-illness"
    assert revealed.sources == {}
    assert revealed.opinions == (
        Opinion("ann", JudgmentRole.JUDGE, 0.0, ""),
        Opinion("ben", JudgmentRole.JUDGE, 1.0, "a vet's text"),
    )
    assert "agreed" not in repr(laid_out)
    assert set(laid_out.said[cat.id]) == {"cat-illness", "cat-feeding"}


def test_conflicts_leave_the_list_when_an_adjudicator_settles_them(desk: Desk) -> None:
    cat = write_query(desk, "cat")
    for doc_id in ("cat-illness", "cat-feeding"):
        say(desk, "ann", cat.id, doc_id, 0.0)
        say(desk, "ben", cat.id, doc_id, 1.0)
    assert listed(conflicts(desk, "cora")) == []  # as long as cora may still judge
    offer(desk, cat.id, "cat-illness")
    assert listed(conflicts(desk, "cora")) == [(cat.id, "cat-illness"), (cat.id, "cat-feeding")]
    say(desk, "cora", cat.id, "cat-feeding", 1.0)  # one more judge settles nothing
    assert len(conflicts(desk, "cora").cards) == 2
    say(desk, "ann", cat.id, "cat-illness", 1.0, note="final", is_adjudication=True)
    laid_out = conflicts(desk, "cora")
    assert listed(laid_out) == [(cat.id, "cat-feeding")]
    assert laid_out.settled[cat.id]["cat-illness"] == Said(1.0, False, "final")
    assert laid_out.said[cat.id].keys() == {"cat-feeding"}
    assert desk.workspace.standings(desk.label_set_id).qrels() == {cat.id: {"cat-illness": 1.0, "cat-feeding": 1.0}}
    say(desk, "ann", cat.id, "cat-feeding", None, is_unsure=True, is_adjudication=True)
    laid_out = conflicts(desk, "cora")
    assert listed(laid_out) == [(cat.id, "cat-feeding")]
    assert laid_out.settled[cat.id]["cat-feeding"] == Said(None, True, "")
    say(desk, "ann", cat.id, "cat-illness", None, is_adjudication=True)
    assert listed(conflicts(desk, "cora")) == [(cat.id, "cat-illness"), (cat.id, "cat-feeding")]


def test_conflicts_leave_the_list_when_a_judge_thinks_again(desk: Desk) -> None:
    cat = write_query(desk, "cat")
    say(desk, "ann", cat.id, "cat-illness", 0.0)
    say(desk, "ben", cat.id, "cat-illness", 1.0)
    offer(desk, cat.id, "cat-illness")  # so that ann is done
    assert ids(conflicts(desk, "ann").cards) == ["cat-illness"]
    say(desk, "ben", cat.id, "cat-illness", 0.0)
    laid_out = conflicts(desk, "ann")
    assert (ids(laid_out.cards), laid_out.revealed) == ([], {})


def test_conflicts_with_a_reference_are_none(desk: Desk) -> None:
    cat = write_query(desk, "cat")
    bring_reference(desk, cat.id, "cat-illness", 1.0)
    say(desk, "ann", cat.id, "cat-illness", 0.0)
    assert ids(conflicts(desk, "ann").cards) == []
