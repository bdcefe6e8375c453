from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, false, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from storage import collections, label_sets, queries
from storage.engine import find_or_insert
from storage.errors import UnknownRecord
from storage.records import CollectionRecord, LabelSetRecord, QueryRecord
from storage.schema import InstructionRow, LabelSetRow, QueryRow

Sessions = sessionmaker[Session]
AtOnce = Callable[[int, Callable[[int], Any]], list[Any]]


def test_query_comes_back_with_its_instruction(sessions: Sessions, query: QueryRecord) -> None:
    with sessions.begin() as session:
        found = queries.get(session, query.id)
    assert found == query
    assert (found.public_id, found.text, found.instruction, found.author) == ("q1", "owls", "find causes", "ann")
    assert found.need == ""


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


def test_query_is_found_by_text_and_instruction_of_its_collection(
    sessions: Sessions, query: QueryRecord, add_collection: Callable[[Session, str], CollectionRecord]
) -> None:
    with sessions.begin() as session:
        fish = add_collection(session, "fish")
        elsewhere = queries.get_or_create(session, fish.id, "owls", "find causes", "bob")
        bare = queries.get_or_create(session, query.collection_id, "owls", "", "ann")
    with sessions.begin() as session:
        assert queries.find(session, query.collection_id, "owls", "find causes") == query
        assert queries.find(session, query.collection_id, "owls", "") == bare
        assert queries.find(session, fish.id, "owls", "find causes") == elsewhere


@pytest.mark.parametrize(
    ("text", "instruction"), [("owl", "find causes"), ("Owls", "find causes"), ("owls", "find"), ("owls", "")]
)
def test_query_nobody_asked_is_not_found_and_not_created(
    sessions: Sessions, query: QueryRecord, text: str, instruction: str
) -> None:
    with sessions.begin() as session:
        assert queries.find(session, query.collection_id, text, instruction) is None
    with sessions.begin() as session:
        assert queries.list_all(session, query.collection_id) == [query]
        assert [found.text for found in queries.list_instructions(session, query.collection_id)] == ["find causes"]


def test_need_given_at_creation_is_kept_when_the_query_is_asked_again(
    sessions: Sessions, collection: CollectionRecord
) -> None:
    with sessions.begin() as session:
        first = queries.get_or_create(session, collection.id, "jays", "", "ann", need="**Blue** ones")
        again = queries.get_or_create(session, collection.id, "jays", "", "bob", need="Grey ones")
    assert first.need == "**Blue** ones"
    assert again == first


def test_need_of_one_query_is_changed_and_nothing_else(sessions: Sessions, query: QueryRecord) -> None:
    with sessions.begin() as session:
        other = queries.get_or_create(session, query.collection_id, "jays", "", "ann", need="Blue ones")
        returned = queries.set_need(session, query.id, "Why owls *hoot*")
    with sessions.begin() as session:
        assert queries.get(session, query.id) == returned == replace(query, need="Why owls *hoot*")
        assert queries.get(session, other.id) == other
        queries.set_need(session, query.id, "")
    with sessions.begin() as session:
        assert queries.get(session, query.id) == query


def test_need_of_an_unknown_query_is_refused(sessions: Sessions) -> None:
    with sessions.begin() as session, pytest.raises(UnknownRecord, match="no query with the id 8"):
        queries.set_need(session, 8, "Anything")


def test_queries_are_listed_by_id_with_their_instructions(
    sessions: Sessions, query: QueryRecord, add_collection: Callable[[Session, str], CollectionRecord]
) -> None:
    with sessions.begin() as session:
        fish = add_collection(session, "fish")
        cod = queries.get_or_create(session, fish.id, "cod", "", "ann")
        jays = queries.get_or_create(session, query.collection_id, "jays", "", "bob")
        auks = queries.get_or_create(session, query.collection_id, "auks", "find causes", "ann", need="Where")
    with sessions.begin() as session:
        assert queries.list_all(session, query.collection_id) == [query, jays, auks]
        assert queries.list_all(session, fish.id) == [cod]
        assert queries.list_all(session, fish.id + 1) == []
    assert [jays.instruction, auks.instruction] == ["", "find causes"]


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
