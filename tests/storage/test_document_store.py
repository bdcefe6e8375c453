from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from storage import documents
from storage.records import CollectionRecord, DocumentRecord, NewDocument

Sessions = sessionmaker[Session]

N_MANY = 20_000


def new_document(number: int) -> NewDocument:
    return NewDocument(
        doc_id=f"d{number}", title=f"Title {number}", text=f"Text {number}", content_hash=f"{number:064x}"
    )


@pytest.fixture
def statements(engine: Engine) -> list[str]:
    """Return the list that every statement on documents is noted in."""
    noted: list[str] = []

    def note(*arguments: object) -> None:
        statement = str(arguments[2])
        if "document" in statement:
            noted.append(statement.split()[0])

    event.listen(engine, "before_cursor_execute", note)
    return noted


def test_documents_keep_their_order_and_content(sessions: Sessions, collection: CollectionRecord) -> None:
    given = [NewDocument("z", "Owl", "hoots", "1" * 64), NewDocument("a", "", "Été <b>", "2" * 64)]
    with sessions.begin() as session:
        assert documents.add_many(session, collection.id, given) == 2
    with sessions.begin() as session:
        assert list(documents.iter_all(session, collection.id)) == [
            DocumentRecord(collection.id, 0, "z", "Owl", "hoots", "1" * 64, None),
            DocumentRecord(collection.id, 1, "a", "", "Été <b>", "2" * 64, None),
        ]


def test_metadata_comes_back_with_its_document_in_both_ways_of_reading(
    sessions: Sessions, collection: CollectionRecord
) -> None:
    about_the_owl = {"url": "https://example.org/é", "year": 1999, "tags": ["night", None], "nested": {"ok": True}}
    given = [
        NewDocument("owl", "Owl", "hoots", "1" * 64, metadata=about_the_owl),
        NewDocument("jay", "Jay", "cries", "2" * 64),
        NewDocument("tit", "Tit", "sings", "3" * 64, metadata={}),
    ]
    with sessions.begin() as session:
        documents.add_many(session, collection.id, given)
    with sessions.begin() as session:
        streamed = {document.doc_id: document.metadata for document in documents.iter_all(session, collection.id)}
        found = documents.get_many(session, collection.id, ["tit", "owl", "jay"])
        n_without = session.scalars(text("SELECT count(*) FROM document WHERE metadata IS NULL")).one()
    assert streamed == {"owl": about_the_owl, "jay": None, "tit": {}}
    assert {doc_id: document.metadata for doc_id, document in found.items()} == streamed
    assert n_without == 1  # a missing one is NULL, not the JSON text null


def test_documents_added_later_follow_those_there(sessions: Sessions, collection: CollectionRecord) -> None:
    with sessions.begin() as session:
        documents.add_many(session, collection.id, [new_document(0), new_document(1)])
        assert documents.add_many(session, collection.id, [new_document(2)]) == 1
        assert documents.add_many(session, collection.id, []) == 0
        assert [(d.position, d.doc_id) for d in documents.iter_all(session, collection.id)] == [
            (0, "d0"),
            (1, "d1"),
            (2, "d2"),
        ]


def test_many_documents_stream_in_and_out(
    sessions: Sessions, collection: CollectionRecord, statements: list[str]
) -> None:
    inserts_before: dict[int, int] = {}

    def noting() -> Iterator[NewDocument]:
        for number in range(N_MANY):
            inserts_before[number] = statements.count("INSERT")
            yield new_document(number)

    with sessions.begin() as session:
        assert documents.add_many(session, collection.id, noting()) == N_MANY
    # each batch of 5,000 is written before the next document is asked for
    assert (inserts_before[4_999], inserts_before[5_000], inserts_before[15_000]) == (0, 1, 3)

    statements.clear()
    with sessions.begin() as session:
        stream = documents.iter_all(session, collection.id, batch=5000)
        assert next(stream).doc_id == "d0"
        assert statements == ["SELECT"]
        rest = [document.doc_id for document in stream]
        assert documents.count(session, collection.id) == N_MANY
    assert rest == [f"d{number}" for number in range(1, N_MANY)]


def test_failing_source_leaves_no_documents(sessions: Sessions, collection: CollectionRecord) -> None:
    def breaking() -> Iterator[NewDocument]:
        yield from (new_document(number) for number in range(6_000))
        raise OSError("line 6001 is not UTF-8")

    with pytest.raises(OSError, match="6001"), sessions.begin() as session:
        documents.add_many(session, collection.id, breaking())
    with sessions.begin() as session:
        assert documents.count(session, collection.id) == 0


def test_session_can_write_while_documents_stream(sessions: Sessions, collection: CollectionRecord) -> None:
    with sessions.begin() as session:
        documents.add_many(session, collection.id, [new_document(number) for number in range(5)])
    with sessions.begin() as session:
        stream = documents.iter_all(session, collection.id, batch=2)
        next(stream)
        documents.add_many(session, collection.id, [new_document(5)])
        assert [document.position for document in stream] == [1, 2, 3, 4, 5]


def test_documents_are_found_by_id_in_the_order_asked_for(sessions: Sessions, collection: CollectionRecord) -> None:
    asked = [f"d{number}" for number in range(1_499, -1, -1)]
    with sessions.begin() as session:
        documents.add_many(session, collection.id, [new_document(number) for number in range(1_500)])
        found = documents.get_many(session, collection.id, [*asked, "missing", "d7"])
    assert list(found) == asked
    assert (found["d7"].title, found["d7"].position) == ("Title 7", 7)


def test_same_document_id_may_be_in_two_collections_but_not_twice_in_one(
    sessions: Sessions, collection: CollectionRecord, add_collection: Callable[[Session, str], CollectionRecord]
) -> None:
    with sessions.begin() as session:
        other = add_collection(session, "fish")
        documents.add_many(session, collection.id, [new_document(0)])
        documents.add_many(session, other.id, [new_document(0)])
    with pytest.raises(IntegrityError, match="UNIQUE"), sessions.begin() as session:
        documents.add_many(session, collection.id, [new_document(1), new_document(0)])
    with sessions.begin() as session:
        assert (documents.count(session, collection.id), documents.count(session, other.id)) == (1, 1)


def test_batch_below_one_is_refused(sessions: Sessions, collection: CollectionRecord) -> None:
    with sessions.begin() as session, pytest.raises(ValueError, match="at least 1, got 0"):
        next(documents.iter_all(session, collection.id, batch=0))
