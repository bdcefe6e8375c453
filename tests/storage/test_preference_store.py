from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from storage import comparisons, label_sets, queries
from storage.records import LabelSetRecord, NewPreference, PreferenceRecord, Preferred, QueryRecord, ShownLeft

Sessions = sessionmaker[Session]
MakePreference = Callable[..., NewPreference]


@pytest.fixture
def answer(query: QueryRecord, label_set: LabelSetRecord) -> MakePreference:
    """Return the maker of answers; fields by name."""

    def make(preferred: Preferred = Preferred.FIRST, **other: Any) -> NewPreference:
        values: dict[str, Any] = {
            "label_set_id": label_set.id,
            "query_id": query.id,
            "author": "ann",
            "first": "aligned",
            "second": "run-7",
            "shown_left": ShownLeft.SECOND,
        }
        return NewPreference(preferred=preferred, **(values | other))

    return make


@pytest.fixture
def jays(sessions: Sessions, query: QueryRecord) -> QueryRecord:
    with sessions.begin() as session:
        return queries.get_or_create(session, query.collection_id, "jays", "", "ann")


def append_all(sessions: Sessions, *new: NewPreference) -> list[PreferenceRecord]:
    with sessions.begin() as session:
        return [comparisons.append_preference(session, preference) for preference in new]


def test_preference_comes_back_as_it_was_given(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, answer: MakePreference
) -> None:
    (appended,) = append_all(sessions, answer(Preferred.NEITHER, seconds=2.5))
    assert appended == PreferenceRecord(
        id=1,
        label_set_id=label_set.id,
        query_id=query.id,
        author="ann",
        first="aligned",
        second="run-7",
        preferred=Preferred.NEITHER,
        shown_left=ShownLeft.SECOND,
        seconds=2.5,
        created_at=appended.created_at,
    )
    with sessions.begin() as session:
        (stored,) = comparisons.standing_preferences(session, label_set.id, "aligned", "run-7")
    assert stored == appended
    assert (type(stored.preferred), type(stored.shown_left)) == (Preferred, ShownLeft)


def test_latest_answer_of_each_author_to_each_query_stands(
    sessions: Sessions, label_set: LabelSetRecord, jays: QueryRecord, answer: MakePreference
) -> None:
    _, bob, on_jays, again, last = append_all(
        sessions,
        answer(Preferred.FIRST),
        answer(Preferred.TIE, author="bob"),
        answer(Preferred.NEITHER, query_id=jays.id),
        answer(Preferred.SECOND),
        answer(Preferred.FIRST, seconds=1.0),
    )
    with sessions.begin() as session:
        assert comparisons.standing_preferences(session, label_set.id, "aligned", "run-7") == [bob, on_jays, last]
        assert comparisons.standing_preferences(session, label_set.id, "aligned", "run-7", author="ann") == [
            on_jays,
            last,
        ]
        assert comparisons.standing_preferences(session, label_set.id, "aligned", "run-7", author="bob") == [bob]
        assert comparisons.standing_preferences(session, label_set.id, "aligned", "run-7", author="eve") == []
    assert again.id < last.id


def test_pairs_and_label_sets_are_apart(
    sessions: Sessions, label_set: LabelSetRecord, jays: QueryRecord, answer: MakePreference
) -> None:
    with sessions.begin() as session:
        other = label_sets.get_or_create(session, label_set.collection_id, "other", "bob")
    first, _, third, _, fifth, _ = append_all(
        sessions,
        answer(),
        answer(second="run-8"),
        answer(label_set_id=other.id),
        answer(second="run-8", author="bob"),
        answer(second="run-8", query_id=jays.id),
        answer(first="run-7", second="aligned"),
    )
    append_all(sessions, answer(second="run-8", preferred=Preferred.TIE))
    with sessions.begin() as session:
        assert comparisons.standing_preferences(session, label_set.id, "aligned", "run-7") == [first]
        assert comparisons.standing_preferences(session, other.id, "aligned", "run-7") == [third]
        assert [p.id for p in comparisons.standing_preferences(session, label_set.id, "aligned", "run-8")] == [
            4,
            fifth.id,
            7,
        ]


def test_ids_are_never_used_twice(sessions: Sessions, answer: MakePreference) -> None:
    append_all(sessions, answer(), answer())
    with sessions.begin() as session:
        session.execute(text("DELETE FROM preference_event"))
    (appended,) = append_all(sessions, answer())
    assert appended.id == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"second": "aligned"}, "two different rankings, got 'aligned' twice"),
        ({"seconds": -0.5}, "seconds from 0"),
        ({"seconds": float("nan")}, "seconds from 0"),
        ({"seconds": float("inf")}, "seconds from 0"),
    ],
)
def test_answer_that_cannot_be_meant_is_refused(answer: MakePreference, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        answer(**values)


@pytest.mark.parametrize("column", ["preferred", "shown_left"])
def test_database_itself_refuses_an_unknown_answer(sessions: Sessions, answer: MakePreference, column: str) -> None:
    append_all(sessions, answer())
    with (
        pytest.raises(IntegrityError, match=f"CHECK constraint failed: ck_preference_event_{column}"),
        sessions.begin() as s,
    ):
        s.execute(text(f"UPDATE preference_event SET {column} = 'third'"))


@pytest.mark.parametrize("unknown", ["label_set_id", "query_id"])
def test_preference_of_something_unknown_is_refused(sessions: Sessions, answer: MakePreference, unknown: str) -> None:
    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        append_all(sessions, answer(**{unknown: 99}))
