"""The log behind what stands: what an undo goes back to, what changed since, and how much each author did."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from storage import judgments, label_sets, queries
from storage.records import AuthorWork, JudgmentRecord, JudgmentRole, LabelSetRecord, NewJudgment, QueryRecord

Sessions = sessionmaker[Session]
MakeJudgment = Callable[..., NewJudgment]
AppendAll = Callable[..., list[JudgmentRecord]]


@pytest.fixture
def jays(sessions: Sessions, query: QueryRecord) -> QueryRecord:
    with sessions.begin() as session:
        return queries.get_or_create(session, query.collection_id, "jays", "", "ann")


@pytest.fixture
def other_set(sessions: Sessions, label_set: LabelSetRecord) -> LabelSetRecord:
    with sessions.begin() as session:
        return label_sets.get_or_create(session, label_set.collection_id, "other", "ann")


def test_history_holds_every_event_of_every_author_oldest_first(
    sessions: Sessions,
    query: QueryRecord,
    jays: QueryRecord,
    label_set: LabelSetRecord,
    other_set: LabelSetRecord,
    judgment: MakeJudgment,
    append_all: AppendAll,
) -> None:
    events = append_all(
        judgment("d1", 1.0, 1),
        judgment("d1", 2.0, 2, author="bob"),
        judgment("d1", None, 3),
        judgment("d2", None, 4, is_unsure=True),
        judgment("d1", 1.0, 5, query_id=jays.id),
        judgment("d1", 1.0, 6, label_set_id=other_set.id),
    )
    with sessions.begin() as session:
        assert judgments.history(session, label_set.id, query.id) == events[:4]


def test_event_before_is_the_authors_own_of_that_document_in_that_role(
    sessions: Sessions,
    jays: QueryRecord,
    other_set: LabelSetRecord,
    judgment: MakeJudgment,
    append_all: AppendAll,
) -> None:
    first, *_, second, third = append_all(
        judgment("d1", 1.0, 1),
        judgment("d2", 9.0, 2),
        judgment("d1", 9.0, 3, author="bob"),
        judgment("d1", 9.0, 4, role=JudgmentRole.ADJUDICATOR),
        judgment("d1", 9.0, 5, query_id=jays.id),
        judgment("d1", 9.0, 6, label_set_id=other_set.id),
        judgment("d1", None, 7, is_unsure=True, note="hm"),
        judgment("d1", 2.0, 8),
    )
    with sessions.begin() as session:
        assert judgments.before(session, third) == second
        assert judgments.before(session, second) == first
        assert judgments.before(session, first) is None


def test_event_before_may_be_one_that_cleared_the_mark(
    sessions: Sessions, judgment: MakeJudgment, append_all: AppendAll
) -> None:
    _, cleared, graded = append_all(judgment("d1", 1.0, 1), judgment("d1", None, 2), judgment("d1", 2.0, 3))
    with sessions.begin() as session:
        assert judgments.before(session, graded) == cleared


def test_newest_event_counts_over_all_label_sets(
    sessions: Sessions, other_set: LabelSetRecord, judgment: MakeJudgment, append_all: AppendAll
) -> None:
    with sessions.begin() as session:
        assert judgments.newest_event_id(session) == 0
    *_, last = append_all(judgment("d1", 1.0, 1), judgment("d1", None, 2), judgment("d1", 1.0, 3, label_set_id=2))
    assert last.label_set_id == other_set.id
    with sessions.begin() as session:
        assert judgments.newest_event_id(session) == last.id == 3


def test_changed_queries_are_those_judged_in_the_label_set_after_the_event(
    sessions: Sessions,
    query: QueryRecord,
    jays: QueryRecord,
    label_set: LabelSetRecord,
    other_set: LabelSetRecord,
    judgment: MakeJudgment,
    append_all: AppendAll,
) -> None:
    events = append_all(
        judgment("d1", 1.0, 1),
        judgment("d1", 1.0, 2, query_id=jays.id),
        judgment("d1", 1.0, 3, label_set_id=other_set.id),
        judgment("d1", None, 4, query_id=jays.id, author="bob"),
        judgment("d1", None, 5, query_id=jays.id),
    )
    with sessions.begin() as session:
        assert [judgments.changed_since(session, label_set.id, event_id) for event_id in range(6)] == [
            {query.id, jays.id},
            {jays.id},
            {jays.id},
            {jays.id},
            {jays.id},  # the event that only cleared counts too
            set(),
        ]
        assert judgments.changed_since(session, other_set.id, 0) == {query.id}
        assert judgments.changed_since(session, other_set.id, events[2].id) == set()


def test_recent_times_are_the_authors_last_known_ones_newest_first(
    sessions: Sessions,
    jays: QueryRecord,
    label_set: LabelSetRecord,
    other_set: LabelSetRecord,
    judgment: MakeJudgment,
    append_all: AppendAll,
) -> None:
    append_all(
        judgment("d1", 1.0, 1, seconds=8.5),
        judgment("d2", 1.0, 2, seconds=3.0),
        judgment("d3", 1.0, 3),
        judgment("d4", 1.0, 4, seconds=99.0, author="bob"),
        judgment("d5", 1.0, 5, seconds=98.0, label_set_id=other_set.id),
        judgment("d1", None, 6, is_unsure=True, seconds=0.0, query_id=jays.id),
    )
    with sessions.begin() as session:
        assert judgments.recent_seconds(session, label_set.id, "ann", 10) == [0.0, 3.0, 8.5]
        assert judgments.recent_seconds(session, label_set.id, "ann", 2) == [0.0, 3.0]
        assert judgments.recent_seconds(session, label_set.id, "eve", 10) == []


def test_work_is_told_per_author_most_events_first_and_without_imports(
    sessions: Sessions,
    jays: QueryRecord,
    label_set: LabelSetRecord,
    other_set: LabelSetRecord,
    judgment: MakeJudgment,
    append_all: AppendAll,
) -> None:
    append_all(
        judgment("d1", 1.0, 1, author="zoe"),
        judgment("d1", 1.0, 2, author="bob", seconds=4.0),
        judgment("d1", None, 3, author="bob", seconds=2.5),
        judgment("d1", 2.0, 4, author="bob", role=JudgmentRole.ADJUDICATOR, query_id=jays.id),
        judgment("d2", 1.0, 5, author="ann", role=JudgmentRole.REFERENCE, seconds=7.0),
        judgment("d3", 1.0, 6, author="ann", seconds=1.0),
        judgment("d4", 1.0, 7, author="qrels", role=JudgmentRole.REFERENCE),
        judgment("d1", 1.0, 8, author="ann", label_set_id=other_set.id, seconds=9.0),
    )
    with sessions.begin() as session:
        session.execute(
            text("UPDATE judgment_event SET created_at = '2024-05-01 10:00:' || printf('%02d', id) || '.000000'")
        )
    with sessions.begin() as session:
        work = judgments.work_by_author(session, label_set.id)
        nobody = judgments.work_by_author(session, other_set.id + 1)

    def at(second: int) -> datetime:
        return datetime(2024, 5, 1, 10, 0, second, tzinfo=UTC)

    bob, ann, zoe = work
    assert (bob.author, bob.n_events, bob.first_at, bob.last_at) == ("bob", 3, at(2), at(4))
    assert sorted(bob.seconds) == [2.5, 4.0]
    assert ann == AuthorWork("ann", 1, at(6), at(6), (1.0,))
    assert zoe == AuthorWork("zoe", 1, at(1), at(1), ())
    assert nobody == []


def test_histories_are_those_of_what_their_author_marked_on_the_list(
    sessions: Sessions,
    jays: QueryRecord,
    label_set: LabelSetRecord,
    other_set: LabelSetRecord,
    judgment: MakeJudgment,
    append_all: AppendAll,
) -> None:
    events = append_all(
        judgment("d1", 1.0, 1, retriever="pool"),
        judgment("d1", 1.0, 2, author="bob", retriever="pool"),
        judgment("d1", 1.0, 3, query_id=jays.id, retriever="pool"),
        judgment("d1", 1.0, 4, role=JudgmentRole.ADJUDICATOR),
        judgment("d2", 1.0, 5, retriever="pool"),
        judgment("d1", 0.0, 6, retriever="again"),
        judgment("d1", 0.0, 7, retriever="pool"),
        judgment("d1", 1.0, 8, author="bob", retriever="again", label_set_id=other_set.id),
    )
    with sessions.begin() as session:
        found = judgments.histories_marked_on(session, label_set.id, "again")
        assert found == [events[0], events[5], events[6]]
        assert judgments.histories_marked_on(session, label_set.id, "light") == []
