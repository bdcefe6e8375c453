from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, event, false, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from storage import collections, judgments, label_sets, queries
from storage.errors import UnknownRecord
from storage.insertion import find_or_insert
from storage.records import CollectionRecord, LabelSetRecord, NewJudgment, QueryProgress, QueryRecord
from storage.schema import InstructionRow, LabelSetRow, QueryRow

Sessions = sessionmaker[Session]
AtOnce = Callable[[int, Callable[[int], Any]], list[Any]]


def test_query_comes_back_with_its_instruction(sessions: Sessions, query: QueryRecord) -> None:
    with sessions.begin() as session:
        found = queries.get(session, query.id)
    assert found == query
    assert (found.public_id, found.text, found.instruction, found.author) == ("q1", "owls", "find causes", "ann")


def test_unknown_query_is_named(sessions: Sessions) -> None:
    with sessions.begin() as session, pytest.raises(UnknownRecord, match="no query with the id 8"):
        queries.get(session, 8)


def test_same_text_and_instruction_is_the_query_of_whoever_was_first(sessions: Sessions, query: QueryRecord) -> None:
    with sessions.begin() as session:
        again = queries.get_or_create(session, query.collection_id, "owls", "find causes", "bob", public_id="q9")
    assert again == query


def test_same_text_under_another_instruction_is_another_query(sessions: Sessions, query: QueryRecord) -> None:
    with sessions.begin() as session:
        other = queries.get_or_create(session, query.collection_id, "owls", "", "ann")
    assert other.id != query.id
    assert (other.instruction, other.public_id) == ("", None)


def test_query_is_created_once_by_many_threads(
    sessions: Sessions, collection: CollectionRecord, at_once: AtOnce
) -> None:
    def create(number: int) -> QueryRecord:
        with sessions.begin() as session:
            return queries.get_or_create(session, collection.id, "owls", "find causes", f"person {number}")

    records = at_once(8, create)
    assert len({record.id for record in records}) == 1
    assert len({record.author for record in records}) == 1
    with sessions.begin() as session:
        assert session.scalars(select(func.count()).select_from(QueryRow)).one() == 1
        assert session.scalars(select(func.count()).select_from(InstructionRow)).one() == 1


def test_label_set_is_created_once_by_many_threads(
    sessions: Sessions, collection: CollectionRecord, at_once: AtOnce
) -> None:
    def create(number: int) -> LabelSetRecord:
        with sessions.begin() as session:
            return label_sets.get_or_create(session, collection.id, "main", f"person {number}")

    assert len(set(at_once(8, create))) == 1


class BlindAtFirst(Session):
    """A session whose first look misses a row, as if another writer committed it just afterwards."""

    has_looked = False

    def scalars(self, statement: Any, *arguments: Any, **options: Any) -> Any:
        if not self.has_looked:
            self.has_looked = True
            statement = statement.where(false())
        return super().scalars(statement, *arguments, **options)


def test_row_inserted_by_another_writer_in_between_is_returned_and_earlier_work_is_kept(
    engine: Engine, sessions: Sessions, label_set: LabelSetRecord
) -> None:
    wanted = select(LabelSetRow).where(LabelSetRow.name == "main")
    mine = LabelSetRow(collection_id=label_set.collection_id, name="main", created_by="bob")
    with sessionmaker(engine, class_=BlindAtFirst).begin() as session:
        collections.rename(session, label_set.collection_id, "renamed")
        row, is_new = find_or_insert(session, wanted, mine)
        assert (row.id, row.created_by, is_new) == (label_set.id, "ann", False)
    with sessions.begin() as session:
        assert collections.get(session, label_set.collection_id).name == "renamed"


def test_query_in_no_collection_is_refused(sessions: Sessions) -> None:
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), sessions.begin() as session:
        queries.get_or_create(session, 99, "owls", "", "ann")


def test_instructions_are_listed_by_how_many_queries_use_them(
    sessions: Sessions, collection: CollectionRecord, add_collection: Callable[[Session, str], CollectionRecord]
) -> None:
    with sessions.begin() as session:
        for text, instruction in [("owls", "rare"), ("owls", "common"), ("jays", "common"), ("jays", "")]:
            queries.get_or_create(session, collection.id, text, instruction, "ann")
        queries.get_or_create(session, add_collection(session, "fish").id, "cod", "common", "ann")
    with sessions.begin() as session:
        listed = queries.list_instructions(session, collection.id)
    assert [(found.text, found.n_queries) for found in listed] == [("common", 2), ("rare", 1), ("", 1)]


def test_progress_counts_what_stands_in_one_label_set_in_one_statement(
    sessions: Sessions,
    engine: Engine,
    query: QueryRecord,
    label_set: LabelSetRecord,
    judgment: Callable[..., NewJudgment],
) -> None:
    with sessions.begin() as session:
        cleared = queries.get_or_create(session, query.collection_id, "jays", "", "ann")
        untouched = queries.get_or_create(session, query.collection_id, "wrens", "", "ann")
        other_set = label_sets.get_or_create(session, query.collection_id, "other", "ann")
        marks = [
            judgment("d1", 1.0, 1),
            judgment("d2", 0.0, 2),
            judgment("d3", 0.0, 3),
            judgment("d2", 2.0, 4),  # from not relevant to relevant
            judgment("d4", 1.0, 5),
            judgment("d4", None, 6),  # cleared
            judgment("d5", 1.0, 7, label_set_id=other_set.id),
            judgment("d1", 1.0, 8, query_id=cleared.id),
            judgment("d1", None, 9, query_id=cleared.id),
        ]
        stored = [judgments.append(session, mark).judgment for mark in marks]

    statements: list[object] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    with sessions.begin() as session:
        listed = queries.list_with_progress(session, query.collection_id, label_set.id)
    assert listed == [
        QueryProgress(query, n_relevant=2, n_not_relevant=1, last_judged_at=stored[3].created_at),
        QueryProgress(cleared, n_relevant=0, n_not_relevant=0, last_judged_at=None),
        QueryProgress(untouched, n_relevant=0, n_not_relevant=0, last_judged_at=None),
    ]
    assert len([statement for statement in statements if str(statement).startswith("SELECT")]) == 1
