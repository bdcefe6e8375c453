"""Documents that change: what moves in, what goes, and which marks stand after it."""

from collections.abc import Callable, Sequence

import pytest
from sqlalchemy.orm import Session, sessionmaker

from storage import collections, documents, judgments
from storage.documents import OutdatedMark
from storage.records import (
    CollectionRecord,
    CollectionState,
    DocumentRecord,
    JudgmentRole,
    LabelSetRecord,
    NewDocument,
    NewJudgment,
    QueryRecord,
)

Sessions = sessionmaker[Session]

OLD = [NewDocument(f"d{n}", "", f"text {n}", f"old{n}", {"n": str(n)}) for n in range(4)]


@pytest.fixture
def filled(sessions: Sessions, collection: CollectionRecord) -> CollectionRecord:
    with sessions.begin() as session:
        documents.add_many(session, collection.id, OLD)
    return collection


def stage(session: Session, waiting: Sequence[NewDocument]) -> int:
    staging = collections.add(
        session, name=".import-1", description="", is_demo=False, corpus_fingerprint="", n_documents=0,
        document_embedder="", state=CollectionState.IMPORTING,
    )  # fmt: skip
    documents.add_many(session, staging.id, waiting)
    return staging.id


def listed(session: Session, collection_id: int) -> list[tuple[int, str, str, str, str]]:
    return [(d.position, d.doc_id, d.title, d.text, d.content_hash) for d in documents.iter_all(session, collection_id)]


def test_changed_documents_keep_their_place_and_new_ones_come_last(
    sessions: Sessions, filled: CollectionRecord
) -> None:
    waiting = [
        NewDocument("n1", "New", "first", "h1"),
        NewDocument("d2", "Two", "changed", "h2", {"year": "2024"}),
        NewDocument("n2", "", "second", "h3"),
        NewDocument("d0", "", "text 0", "old0"),  # only what else is known of it has changed
    ]
    with sessions.begin() as session:
        staging_id = stage(session, waiting)
        documents.move_in(session, filled.id, staging_id)
        assert documents.count(session, staging_id) == 0
        assert [each[1:] for each in listed(session, filled.id)] == [
            ("d0", "", "text 0", "old0"),
            ("d1", "", "text 1", "old1"),
            ("d2", "Two", "changed", "h2"),
            ("d3", "", "text 3", "old3"),
            ("n1", "New", "first", "h1"),
            ("n2", "", "second", "h3"),
        ]
        found = documents.get_many(session, filled.id, ["d0", "d1", "d2", "n1"])
        assert [each.metadata for each in found.values()] == [None, {"n": "1"}, {"year": "2024"}, None]
        assert list(documents.iter_hashes(session, filled.id, batch=2))[2:5] == [
            ("d2", "h2"), ("d3", "old3"), ("n1", "h1"),
        ]  # fmt: skip


def test_documents_of_another_collection_are_left_alone(
    sessions: Sessions, filled: CollectionRecord, add_collection: Callable[[Session, str], CollectionRecord]
) -> None:
    with sessions.begin() as session:
        other = add_collection(session, "fish")
        documents.add_many(session, other.id, OLD)
        before = listed(session, other.id)
        documents.move_in(session, filled.id, stage(session, [NewDocument("d1", "", "changed", "h1")]))
        documents.remove(session, filled.id, ["d0"])
        assert listed(session, other.id) == before


def test_removing_counts_what_was_there_and_takes_many_ids(sessions: Sessions, filled: CollectionRecord) -> None:
    with sessions.begin() as session:
        wanted = ["d1", "d1", "d3", *(f"unknown{n}" for n in range(1200))]
        assert documents.remove(session, filled.id, wanted) == 2
        assert documents.remove(session, filled.id, wanted) == 0
        assert [each[1] for each in listed(session, filled.id)] == ["d0", "d2"]


def test_marks_of_a_removed_document_stay_in_the_log_and_stand_again_when_it_comes_back(
    sessions: Sessions,
    filled: CollectionRecord,
    query: QueryRecord,
    label_set: LabelSetRecord,
    judgment: Callable[..., NewJudgment],
) -> None:
    with sessions.begin() as session:
        judgments.append_many(session, [judgment("d1", 1.0, 1), judgment("d2", 0.0, 2)])
        assert documents.judged_ids(session, filled.id) == {"d1", "d2"}
        documents.remove(session, filled.id, ["d1"])
        assert [mark.doc_id for mark in judgments.standing(session, label_set.id)] == ["d2"]
        assert [mark.doc_id for mark in judgments.current_for_query(session, label_set.id, query.id)] == ["d2"]
        assert len(judgments.history(session, label_set.id, query.id)) == 2
        assert documents.judged_ids(session, filled.id) == {"d2"}
        documents.move_in(session, filled.id, stage(session, [OLD[1]]))
        assert [mark.doc_id for mark in judgments.standing(session, label_set.id)] == ["d1", "d2"]


def test_marks_of_another_text_are_named_until_they_are_made_again(
    sessions: Sessions,
    filled: CollectionRecord,
    query: QueryRecord,
    label_set: LabelSetRecord,
    judgment: Callable[..., NewJudgment],
) -> None:
    with sessions.begin() as session:
        judgments.append_many(
            session,
            [
                judgment("d1", 1.0, 1, content_hash="old1"),
                judgment("d2", 0.0, 2, content_hash="old2"),
                judgment("d1", 2.0, 3, content_hash="old1", author="ben", role=JudgmentRole.REFERENCE),
            ],
        )
        assert documents.outdated_marks(session, label_set.id) == []
        documents.move_in(session, filled.id, stage(session, [NewDocument("d1", "", "other", "h1")]))
        assert documents.outdated_marks(session, label_set.id) == [
            OutdatedMark(query.id, "d1", "ann", JudgmentRole.JUDGE, 1.0),
            OutdatedMark(query.id, "d1", "ben", JudgmentRole.REFERENCE, 2.0),
        ]
        judgments.append(session, judgment("d1", 1.0, 4, content_hash="h1"))
        assert [mark.author for mark in documents.outdated_marks(session, label_set.id)] == ["ben"]


def test_page_goes_on_after_a_position(sessions: Sessions, filled: CollectionRecord) -> None:
    with sessions.begin() as session:
        first = documents.page(session, filled.id, -1, 3)
        assert [each.doc_id for each in first] == ["d0", "d1", "d2"]
        assert documents.page(session, filled.id, first[-1].position, 3) == [
            DocumentRecord(filled.id, 3, "d3", "", "text 3", "old3", {"n": "3"})
        ]
        assert documents.page(session, filled.id, 3, 3) == []
