"""Migration 0002 on rows of the first schema: imports become reference marks, and every author's mark stands."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from storage import collections, documents, judgments, label_sets, migrations, queries
from storage.engine import session_factory
from storage.records import JudgmentRole, NewDocument, NewJudgment, PoolDocument, StandingMark
from tests.worlds.databases import assert_fails_to_open_with, assert_whole, looking_into, old_database

JUDGE, REFERENCE = JudgmentRole.JUDGE, JudgmentRole.REFERENCE

ROWS = (
    "INSERT INTO collection VALUES (1, 'birds', '', 0, 'ff', 1, '{}', '2024-05-01 10:00:00', '2024-05-02 10:00:00')",
    "INSERT INTO document VALUES (1, 1, 0, 'd1', 'Owl', 'hoots', 'aa')",
    "INSERT INTO instruction VALUES (1, 1, '', '2024-05-01 10:00:00')",
    "INSERT INTO query VALUES (1, 1, NULL, 'owls', 1, 'ann', '2024-05-01 10:00:00')",
    "INSERT INTO label_set VALUES (1, 1, 'main', 'ann', '2024-05-01 10:00:00')",
)
EVENTS = (  # id, document, author, grade, client, sequence
    (1, "d1", "ann", 1.0, "import-1", 1),
    (2, "d2", "ann", 2.0, "import-1", 2),
    (3, "d1", "ann", 0.0, "page-a", 1),
    (4, "d1", "bob", 3.0, "page-b", 1),
    (5, "d3", "ann", 1.0, "page-a", 2),
    (6, "d3", "bob", None, "page-b", 2),
    (7, "d4", "bob", 2.0, "my-import-1", 1),
    (8, "d5", "bob", 1.0, "imported", 1),
)
STANDING_BEFORE = [(2, 2.0), (4, 3.0), (7, 2.0), (8, 1.0)]
STANDING_AFTER = [
    StandingMark(1, "d1", "ann", REFERENCE, 1.0),
    StandingMark(1, "d2", "ann", REFERENCE, 2.0),
    StandingMark(1, "d1", "ann", JUDGE, 0.0),
    StandingMark(1, "d1", "bob", JUDGE, 3.0),
    StandingMark(1, "d3", "ann", JUDGE, 1.0),
    StandingMark(1, "d4", "bob", JUDGE, 2.0),
    StandingMark(1, "d5", "bob", JUDGE, 1.0),
]


@pytest.fixture
def old_path(tmp_path: Path) -> Path:
    """Return a database of the first schema with marks of an import and of two people in it."""
    path = old_database(tmp_path, "0001", ROWS)
    with looking_into(path) as connection:
        for event_id, doc_id, author, grade, client_id, sequence in EVENTS:
            connection.exec_driver_sql(
                "INSERT INTO judgment_event VALUES"
                " (?, 1, 1, 1, ?, 'aa', ?, ?, NULL, NULL, ?, ?, '2024-05-01 10:00:00')",
                (event_id, doc_id, author, grade, client_id, sequence),
            )
        assert view_of(connection) == STANDING_BEFORE
    return path


def view_of(connection: Connection) -> list[tuple[int, float]]:
    rows = connection.exec_driver_sql("SELECT id, grade FROM current_judgment ORDER BY id")
    return [(event_id, grade) for event_id, grade in rows]


def test_imported_marks_become_reference_marks_and_others_are_of_judges(opened: Engine) -> None:
    with session_factory(opened).begin() as session:
        events = judgments.history(session, 1, 1)
    assert [
        (event.id, event.doc_id, event.author, event.grade, event.client_id, event.sequence) for event in events
    ] == [*EVENTS]
    assert [event.role for event in events] == [REFERENCE, REFERENCE, JUDGE, JUDGE, JUDGE, JUDGE, JUDGE, JUDGE]
    assert {(event.is_unsure, event.note) for event in events} == {(False, "")}
    assert {(event.seconds, event.together_with, event.undoes_id) for event in events} == {(None, None, None)}


def test_old_marks_of_two_authors_and_of_an_import_all_stand(opened: Engine) -> None:
    with session_factory(opened).begin() as session:
        assert judgments.standing(session, 1) == STANDING_AFTER


def test_event_after_the_upgrade_has_the_next_id(opened: Engine) -> None:
    mark = NewJudgment(1, 1, 1, "d1", "aa", "ann", 2.0, "page-c", 1)
    with session_factory(opened).begin() as session:
        appended = judgments.append(session, mark).judgment
        before = judgments.before(session, appended)
    assert appended.id == 9
    assert before is not None
    assert before.id == 3  # not the later one by bob, nor the one of the import


def use_the_second_schema(engine: Engine) -> None:
    """Write something into all that the first schema lacks."""
    with session_factory(engine).begin() as session:
        collections.set_desk(session, 1, {"n_judges": 2})
        documents.add_many(session, 1, [NewDocument("d2", "Jay", "cries", "bb", metadata={"year": 1999})])
        queries.set_need(session, 1, "Why they hoot")
        label_sets.add_to_pool(session, 1, 1, [PoolDocument("d1", {"bm25": 1})])
        label_sets.acknowledge(session, 1, "ann", "c" * 64)
        adjudicated = NewJudgment(
            1, 1, 1, "d1", "aa", "ann", 2.0, "page-c", 1, role=JudgmentRole.ADJUDICATOR, note="settled", seconds=2.5
        )
        judgments.append(session, adjudicated)


def test_downgrade_keeps_every_event_and_counts_the_latest_of_each_document(opened: Engine) -> None:
    use_the_second_schema(opened)
    with opened.begin() as connection:
        migrations.downgrade(connection, "0001")
    with opened.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT id, doc_id, author, grade, client_id, sequence FROM judgment_event ORDER BY id"
        ).all()
        assert [tuple(row) for row in rows] == [*EVENTS, (9, "d1", "ann", 2.0, "page-c", 1)]
        assert view_of(connection) == [(2, 2.0), (7, 2.0), (8, 1.0), (9, 2.0)]
        assert connection.exec_driver_sql("SELECT doc_id, title, text FROM document ORDER BY id").all() == [
            ("d1", "Owl", "hoots"),
            ("d2", "Jay", "cries"),
        ]


def test_upgrade_after_downgrade_lets_the_old_marks_stand_as_before(opened: Engine) -> None:
    with opened.begin() as connection:
        migrations.downgrade(connection, "0001")
        assert view_of(connection) == STANDING_BEFORE
        migrations.upgrade(connection)
    with session_factory(opened).begin() as session:
        assert judgments.standing(session, 1) == STANDING_AFTER


def test_upgrade_after_downgrade_starts_with_nothing_in_what_was_dropped(opened: Engine) -> None:
    use_the_second_schema(opened)
    with opened.begin() as connection:
        migrations.downgrade(connection, "0001")
        migrations.upgrade(connection)
    with session_factory(opened).begin() as session:
        assert collections.get(session, 1).desk is None
        assert [document.metadata for document in documents.iter_all(session, 1)] == [None, None]
        assert queries.get(session, 1).need == ""
        assert label_sets.pooled_ids(session, 1) == {}
        assert not label_sets.has_acknowledged(session, 1, "ann", "c" * 64)
        last = judgments.history(session, 1, 1)[-1]
    assert (last.id, last.grade, last.role, last.note, last.seconds) == (9, 2.0, JUDGE, "", None)


def test_downgrade_and_upgrade_leave_the_file_whole_and_no_row_that_refers_to_nothing(opened: Engine) -> None:
    use_the_second_schema(opened)
    steps: tuple[Callable[[Connection], None], ...] = (
        lambda connection: migrations.downgrade(connection, "0001"),
        migrations.upgrade,
    )
    for step in steps:
        with opened.begin() as connection:
            step(connection)
        with opened.connect() as connection:
            assert_whole(connection)


def test_upgrade_that_fails_leaves_the_first_schema_and_its_rows(old_path: Path) -> None:
    assert_fails_to_open_with(old_path, "acknowledgement", "0001")
    with looking_into(old_path) as connection:
        assert view_of(connection) == STANDING_BEFORE
        names = [row.name for row in connection.exec_driver_sql("PRAGMA table_info(judgment_event)")]
    assert "role" not in names
