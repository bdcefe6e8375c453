from sqlalchemy.orm import Session, sessionmaker

from storage import queries
from storage.records import QueryRecord, SearchRecord


def test_ranking_shown_last_is_returned_exactly(sessions: sessionmaker[Session], query: QueryRecord) -> None:
    with sessions.begin() as session:
        other = queries.get_or_create(session, query.collection_id, "jays", "", "ann")
        for query_id, retriever in [(query.id, "before"), (query.id, "after"), (other.id, "before")]:
            queries.record_search(
                session,
                query_id=query_id,
                author="ann",
                retriever=retriever,
                depth=10,
                took_ms=12.5,
                ranking=[("d2", 0.1 + 0.2), ("é1", -0.5)],
            )
    with sessions.begin() as session:
        found = queries.latest_search(session, query.id)
    assert found is not None
    assert found == SearchRecord(
        id=2,
        query_id=query.id,
        author="ann",
        retriever="after",
        depth=10,
        took_ms=12.5,
        ranking=(("d2", 0.30000000000000004), ("é1", -0.5)),
        created_at=found.created_at,
    )


def test_query_never_searched_has_no_ranking(sessions: sessionmaker[Session], query: QueryRecord) -> None:
    with sessions.begin() as session:
        assert queries.latest_search(session, query.id) is None
