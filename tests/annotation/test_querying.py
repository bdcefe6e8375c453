"""The query list as one person sees it, what a query needs, and many queries from a file."""

import pytest

import storage.queries
from annotation.errors import CollectionFileError, InvalidInputError, NotAllowedError, NotFoundError
from annotation.judging.queries import (
    MAX_BYTES,
    MAX_QUERIES,
    QueryLine,
    import_queries,
    list_lines,
    look_through,
    set_need,
)
from annotation.judging.setup import hidden_queries
from annotation.judging.view import lay_out_pool, lay_out_ranking
from era.errors import FormatError
from era.io.content import SourceQuery
from era.types import Query
from storage.errors import DatabaseBusy
from storage.records import QueryRecord
from tests.worlds.desk import Desk
from tests.worlds.judging import (
    authors_seen,
    bring_reference,
    found_by,
    ids,
    record,
    say,
    say_all,
    seen_now,
    with_setup,
    write_query,
)
from tests.worlds.words import DOCUMENTS, GRADED_TEXT, QUERIES

FILE = (
    b"id,query,instruction,description\nq1,Cats at night,Find laws,All of it\nq2,Dogs,,\nq3,cat,owner,\nq4,cat,judge,\n"
)


def stored_queries(desk: Desk) -> list[QueryRecord]:
    with desk.workspace.reading() as session:
        return list(storage.queries.list_all(session, desk.collection.id))


def line(desk: Desk, author: str | None, query: QueryRecord) -> QueryLine:
    return next(each for each in list_lines(desk.workspace, desk.page, author) if each.progress.query.id == query.id)


def test_list_lines_begins_with_the_newest_written_query_and_says_whose_it_is(desk: Desk) -> None:
    old, new = write_query(desk, "cat laws"), write_query(desk, "dog laws")
    with desk.workspace.writing() as session:
        bens = storage.queries.get_or_create(session, desk.collection.id, "wren laws", "", "ben")
    lines = list_lines(desk.workspace, desk.page, "ben")
    assert [each.progress.query.id for each in lines[:3]] == [bens.id, new.id, old.id]
    assert [each.progress.query.text for each in lines[3:]] == [each.text for each in QUERIES]
    assert [each.is_own for each in lines[:4]] == [True, False, False, False]
    assert not any(each.is_own or each.state != "open" for each in list_lines(desk.workspace, desk.page, None))


def test_list_lines_is_done_for_whoever_judged_everything_offered(desk: Desk) -> None:
    with_setup(desk, n_judges=2)
    query = write_query(desk, GRADED_TEXT)
    cards = ids(lay_out_pool(desk.workspace, found_by(desk.workspace, "ann", desk.label_set_id, query)).cards)
    say_all(desk, "ann", query.id, cards[:-1], 1.0)
    assert (line(desk, "ann", query).state, line(desk, "ann", query).progress.standing.n_mine) == ("begun", 11)
    say(desk, "ann", query.id, cards[-1], None, is_unsure=True)
    say(desk, "ben", query.id, cards[0], 0.0)
    assert (line(desk, "ann", query).state, line(desk, "ann", query).progress.standing.n_mine) == ("done", 12)
    assert (line(desk, "ben", query).state, line(desk, "ben", query).progress.standing.n_mine) == ("begun", 1)
    assert line(desk, None, query).state == "open"
    assert line(desk, "ben", query).progress.standing.n_people == 2


def test_list_lines_is_not_done_for_marks_outside_any_pool(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    say(desk, "ann", query.id, "cat-feeding", 1.0)
    assert line(desk, "ann", query).state == "begun"


def test_list_lines_say_where_others_have_left_nothing_to_judge(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    cards = ids(lay_out_pool(desk.workspace, found_by(desk.workspace, "ann", desk.label_set_id, query)).cards)
    say_all(desk, "ann", query.id, cards[:-1], 1.0)
    bring_reference(desk, query.id, cards[-1], 1.0)  # which counts as judged, but not by a judge
    people: tuple[str | None, ...] = ("ann", "ben", None)
    assert [line(desk, who, query).state for who in people] == ["begun", "open", "open"]
    say(desk, "ann", query.id, cards[-1], 0.0)
    assert [line(desk, who, query).state for who in people] == ["done", "done", "done"]
    assert line(desk, "ben", write_query(desk, "no pool yet")).state == "open"


def test_pool_that_others_have_judged_is_finished_by_whoever_said_something_of_the_query(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    all_ids = ids(lay_out_pool(desk.workspace, found_by(desk.workspace, "ann", desk.label_set_id, query)).cards)
    outside = next(document.doc_id for document in DOCUMENTS if document.doc_id not in all_ids)
    say_all(desk, "ann", query.id, all_ids[:-1], 1.0)
    say(desk, "ben", query.id, outside, 1.0)
    places = desk.collection.id, desk.label_set_id
    assert hidden_queries(desk.workspace, "ben", *places, [query.id]) == {query.id}
    say(desk, "ann", query.id, all_ids[-1], 1.0)
    ranking = lay_out_ranking(
        desk.workspace, found_by(desk.workspace, "ben", desk.label_set_id, query), [(all_ids[0], 1.0)]
    )
    for laid_out in (lay_out_pool(desk.workspace, found_by(desk.workspace, "ben", desk.label_set_id, query)), ranking):
        assert (laid_out.is_finished, authors_seen(laid_out)) == (True, {"ann"})
    assert seen_now(desk, "ben", query)[1]
    assert hidden_queries(desk.workspace, "ben", *places, [query.id]) == set()
    assert line(desk, "ben", query).state == "done"


def test_set_need_keeps_the_text_without_outer_blanks(desk: Desk) -> None:
    query = write_query(desk, "cat laws")
    assert set_need(desk.workspace, "ben", desk.collection.id, query.id, "  All *laws*\x00\n ").need == "All *laws*"
    assert record(desk.workspace, query.id).need == "All *laws*"
    assert set_need(desk.workspace, "ben", desk.collection.id, query.id, "").need == ""


def test_set_need_refuses_visitors_long_texts_and_queries_of_elsewhere(desk: Desk) -> None:
    query, collection_id = write_query(desk, "cat laws"), desk.collection.id
    with pytest.raises(NotAllowedError):
        set_need(desk.workspace, None, collection_id, query.id, "new")
    with pytest.raises(InvalidInputError, match="1,001 words"):
        set_need(desk.workspace, "ann", collection_id, query.id, "word " * 1001)
    with pytest.raises(NotFoundError):
        set_need(desk.workspace, "ann", collection_id, query.id + 1, "new")
    with pytest.raises(NotFoundError):
        set_need(desk.workspace, "ann", collection_id + 1, query.id, "new")
    assert record(desk.workspace, query.id).need == ""


def test_look_through_tells_what_is_new_and_stores_nothing(desk: Desk) -> None:
    write_query(desk, "cat", "owner")
    n_before = len(stored_queries(desk))
    outcome = look_through(desk.workspace, "ann", desk.collection.id, "queries.csv", FILE)
    assert outcome.new == [
        SourceQuery(Query("q1", "Cats at night", "Find laws"), "All of it"),
        SourceQuery(Query("q2", "Dogs")),
        SourceQuery(Query("q4", "cat", "judge")),
    ]
    assert outcome.n_known == 1
    assert len(stored_queries(desk)) == n_before


def test_import_queries_stores_what_is_new_with_id_need_and_author(desk: Desk) -> None:
    known = write_query(desk, "cat", "owner")
    outcome = import_queries(desk.workspace, "ben", desk.collection.id, "queries.csv", FILE)
    assert (len(outcome.new), outcome.n_known) == (3, 1)
    first, second, third = stored_queries(desk)[-3:]
    assert (first.public_id, first.text, first.instruction, first.need, first.author) == (
        "q1",
        "Cats at night",
        "Find laws",
        "All of it",
        "ben",
    )
    assert (second.public_id, second.text, second.instruction, second.need) == ("q2", "Dogs", "", "")
    assert record(desk.workspace, known.id) == known
    again = import_queries(desk.workspace, "ann", desk.collection.id, "queries.csv", FILE)
    assert (list(again.new), again.n_known) == ([], 4)
    assert stored_queries(desk)[-1] == third


def test_import_queries_stores_nothing_of_a_file_with_a_bad_line(desk: Desk) -> None:
    before = stored_queries(desk)
    bad = FILE + b"q1,Another text,,\n"
    with pytest.raises(FormatError, match="line 6"):
        import_queries(desk.workspace, "ann", desk.collection.id, "queries.csv", bad)
    with pytest.raises(FormatError, match="line 6"):
        look_through(desk.workspace, "ann", desk.collection.id, "queries.csv", bad)
    assert stored_queries(desk) == before


def test_import_queries_stores_nothing_when_the_database_gives_up_half_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, create = stored_queries(desk), storage.queries.get_or_create
    stored: list[str] = []

    def failing(*args: object) -> QueryRecord:
        if stored:
            raise DatabaseBusy(desk.workspace.folder, "locked")
        stored.append("one")
        return create(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(storage.queries, "get_or_create", failing)
    with pytest.raises(DatabaseBusy):
        import_queries(desk.workspace, "ann", desk.collection.id, "queries.csv", FILE)
    assert stored == ["one"]
    assert stored_queries(desk) == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"x" * (MAX_BYTES + 1), "a.txt has 5.0 MB"),
        ("folder/a.csv", f"id,query\n{'x' * 201},cats\n".encode(), "a.csv, line 2: the id is longer than 200"),
        ("a.txt", ("cats\n" + "word " * 1001).encode(), "a.txt, line 2: This query has 1,001 words"),
        (
            "a.csv",
            ("query,need\ncats,pets\ndogs," + "word " * 1001).encode(),
            "line 3: This information need has 1,001",
        ),
        (
            "a.txt",
            "\n".join(map(str, range(MAX_QUERIES + 1))).encode(),
            "line 5,001: there are more than 5,000 queries",
        ),
    ],
)
def test_a_file_out_of_bounds_is_refused(desk: Desk, name: str, content: bytes, message: str) -> None:
    with pytest.raises((CollectionFileError, FormatError), match=message):
        look_through(desk.workspace, "ann", desk.collection.id, name, content)


def test_how_a_file_was_read_is_said_and_each_text_comes_in_once(desk: Desk) -> None:
    outcome = look_through(desk.workspace, "ann", desk.collection.id, "a.tsv", b"1\tnew\n2\tnew \n3\tnewer\n")
    assert [(each.query.query_id, each.query.text) for each in outcome.new] == [("1", "new"), ("3", "newer")]
    assert outcome.remarks == ("a.tsv names no columns: what is before the tab is the id, what follows is the query.",)


def test_import_queries_refuses_visitors(desk: Desk) -> None:
    before = stored_queries(desk)
    with pytest.raises(NotAllowedError):
        import_queries(desk.workspace, None, desk.collection.id, "queries.csv", FILE)
    assert stored_queries(desk) == before
