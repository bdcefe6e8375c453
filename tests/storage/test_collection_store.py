from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session, sessionmaker

from storage import collections, judgments, queries
from storage.errors import NameTaken, UnknownRecord
from storage.records import CollectionRecord, CollectionState, JudgmentRole, NewJudgment

Sessions = sessionmaker[Session]
AddCollection = Callable[[Session, str], CollectionRecord]


def test_collection_comes_back_as_it_was_added(sessions: Sessions, collection: CollectionRecord) -> None:
    with sessions.begin() as session:
        found = collections.get(session, collection.id)
    assert found == CollectionRecord(
        id=1,
        name="birds",
        description="About birds",
        is_demo=False,
        corpus_fingerprint="a" * 64,
        n_documents=3,
        document_embedder='{"name": "small"}',
        desk=None,
        created_at=collection.created_at,
        last_used_at=collection.created_at,
    )


def test_unknown_collection_is_named(sessions: Sessions) -> None:
    with sessions.begin() as session, pytest.raises(UnknownRecord, match="no collection with the id 5") as caught:
        collections.get(session, 5)
    assert (caught.value.kind, caught.value.id) == ("collection", 5)


def test_collection_is_found_by_its_exact_name(sessions: Sessions, collection: CollectionRecord) -> None:
    with sessions.begin() as session:
        assert collections.find_by_name(session, "birds") == collection
        assert collections.find_by_name(session, "bird") is None


def test_taken_name_is_refused_and_the_transaction_goes_on(sessions: Sessions, add_collection: AddCollection) -> None:
    with sessions.begin() as session:
        add_collection(session, "birds")
        with pytest.raises(NameTaken, match="already a collection named 'birds'"):
            add_collection(session, "birds")
        add_collection(session, "fish")
    with sessions.begin() as session:
        assert {found.name for found in collections.list_all(session)} == {"birds", "fish"}


def test_collection_used_last_is_listed_first(
    sessions: Sessions, add_collection: AddCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = datetime(2124, 5, 1, 12, tzinfo=UTC)
    with sessions.begin() as session:
        birds, fish = add_collection(session, "birds"), add_collection(session, "fish")
        monkeypatch.setattr(collections, "utc_now", lambda: later)
        touched = collections.touch(session, birds.id)
    with sessions.begin() as session:
        assert collections.list_all(session) == [touched, fish]
    assert touched == replace(birds, last_used_at=later)


def test_each_person_has_worked_somewhere_last(
    sessions: Sessions, add_collection: AddCollection, judgment: Callable[..., NewJudgment]
) -> None:
    def last_of(author: str) -> int | None:
        with sessions.begin() as session:
            return collections.last_worked_in(session, author)

    assert last_of("ann") is None
    with sessions.begin() as session:
        fish = add_collection(session, "fish").id
        judgments.append(session, judgment("d1", 1.0, 1))
        judgments.append(session, judgment("d1", 1.0, 2, author="ben"))
        query = queries.get_or_create(session, fish, "herring", "", "ben")
        queries.record_search(
            session, query_id=query.id, author="ben", retriever="bm25", depth=1, took_ms=1.0, ranking=[]
        )
    assert (last_of("ann"), last_of("ben"), last_of("cleo")) == (1, fish, None)
    with sessions.begin() as session:
        judgments.append(session, judgment("d2", 1.0, 3, author="ben"))
    assert last_of("ben") == 1
    with sessions.begin() as session:
        queries.record_search(
            session, query_id=query.id, author="ben", retriever="bm25", depth=1, took_ms=1.0, ranking=[]
        )
        judgments.append(session, judgment("d3", 1.0, 1, author="ben", client_id="file", role=JudgmentRole.REFERENCE))
        collections.touch(session, 1)
    assert (last_of("ann"), last_of("ben")) == (1, fish)
    with sessions.begin() as session:
        collections.archive(session, fish, True)
    assert last_of("ben") == 1


def test_who_brought_a_collection_in_has_worked_there(sessions: Sessions) -> None:
    with sessions.begin() as session:
        made = [
            collections.add(
                session,
                name=f"{author}'s",
                description="",
                is_demo=False,
                corpus_fingerprint="",
                n_documents=0,
                document_embedder="",
                state=state,
                created_by=author,
            ).id
            for author, state in (("ann", CollectionState.READY), ("ben", CollectionState.IMPORTING))
        ]
    with sessions.begin() as session:
        assert [collections.last_worked_in(session, author) for author in ("ann", "ben")] == [made[0], None]


def test_rebuilt_index_is_noted(sessions: Sessions, collection: CollectionRecord) -> None:
    with sessions.begin() as session:
        collections.set_index(
            session, collection.id, corpus_fingerprint="d" * 64, n_documents=4, document_embedder='{"name": "large"}'
        )
    with sessions.begin() as session:
        found = collections.get(session, collection.id)
    assert (found.corpus_fingerprint, found.n_documents, found.document_embedder) == (
        "d" * 64,
        4,
        '{"name": "large"}',
    )
    assert found.name == "birds"


def test_desk_is_kept_as_given_and_replaced_as_a_whole(
    sessions: Sessions, collection: CollectionRecord, add_collection: AddCollection
) -> None:
    first = {"guidelines": "Été **oui**", "grades": [{"value": 0.5, "name": "half"}], "n_judges": 2, "is_blind": True}
    with sessions.begin() as session:
        other = add_collection(session, "fish")
        returned = collections.set_desk(session, collection.id, first)
    with sessions.begin() as session:
        assert collections.get(session, collection.id) == returned == replace(collection, desk=first)
        assert collections.get(session, other.id).desk is None
        collections.set_desk(session, collection.id, {"n_judges": 3})
    with sessions.begin() as session:
        assert collections.get(session, collection.id).desk == {"n_judges": 3}


def test_desk_of_an_unknown_collection_is_refused(sessions: Sessions) -> None:
    with sessions.begin() as session, pytest.raises(UnknownRecord, match="no collection with the id 5"):
        collections.set_desk(session, 5, {})


def test_collection_is_renamed(sessions: Sessions, collection: CollectionRecord) -> None:
    with sessions.begin() as session:
        assert collections.rename(session, collection.id, "owls").name == "owls"
    with sessions.begin() as session:
        assert collections.get(session, collection.id).name == "owls"


def test_renaming_to_a_taken_name_is_refused_and_keeps_the_old_one(
    sessions: Sessions, collection: CollectionRecord, add_collection: AddCollection
) -> None:
    with sessions.begin() as session:
        add_collection(session, "fish")
        with pytest.raises(NameTaken):
            collections.rename(session, collection.id, "fish")
    with sessions.begin() as session:
        assert collections.get(session, collection.id).name == "birds"


def test_what_is_being_imported_is_neither_listed_nor_found_until_it_is_published(
    sessions: Sessions, collection: CollectionRecord
) -> None:
    with sessions.begin() as session:
        staging = collections.add(
            session, name="fish", description="", is_demo=False, corpus_fingerprint="", n_documents=0,
            document_embedder="", state=CollectionState.IMPORTING, created_by="ann", embedders={"strong": {"a": 1}},
        )  # fmt: skip
        assert collections.list_all(session, with_archived=True) == [collection]
        assert collections.find_by_name(session, "fish") is None
        assert collections.list_in_state(session, CollectionState.IMPORTING) == [staging]
        published = collections.publish(session, staging.id)
        assert collections.list_all(session) == [published, collection]
        assert collections.find_by_name(session, "fish") == published
    assert (published.created_by, published.embedders) == ("ann", {"strong": {"a": 1}})
    assert published.last_used_at > staging.last_used_at


def test_archived_collection_is_listed_only_when_asked_for(sessions: Sessions, collection: CollectionRecord) -> None:
    with sessions.begin() as session:
        archived = collections.archive(session, collection.id, True)
        assert archived.archived_at is not None
        assert collections.list_all(session) == []
        assert collections.list_all(session, with_archived=True) == [archived]
        assert collections.find_by_name(session, "birds") == archived
        assert collections.archive(session, collection.id, False) == collection


def test_embedders_and_description_are_kept_as_given(sessions: Sessions, collection: CollectionRecord) -> None:
    with sessions.begin() as session:
        collections.set_embedders(session, collection.id, {"light": {"name": "été"}})
        assert collections.describe(session, collection.id, "Owls").description == "Owls"
    with sessions.begin() as session:
        assert collections.get(session, collection.id).embedders == {"light": {"name": "été"}}
        assert collections.set_embedders(session, collection.id, None).embedders is None


def test_demo_is_found_under_any_name_and_in_any_state(sessions: Sessions, collection: CollectionRecord) -> None:
    with sessions.begin() as session:
        assert collections.find_demo(session) is None
        demo = collections.add(
            session, name="demo", description="", is_demo=True, corpus_fingerprint="", n_documents=0,
            document_embedder="", state=CollectionState.DELETED,
        )  # fmt: skip
        collections.rename(session, demo.id, "renamed")
        found = collections.find_demo(session)
    assert found is not None
    assert (found.id, found.name, found.state) == (demo.id, "renamed", CollectionState.DELETED)
