"""A query: what is stored of it, what is refused, and that the ranking is the right one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.orm import Session

import storage.collections
import storage.jobs
import storage.label_sets
import storage.queries
import storage.training_runs
from annotation.collections.page import open_page
from annotation.collections.store_whole import store
from annotation.errors import InvalidInputError, NotFoundError, NotReadyError
from annotation.judging.pool import pool_of
from annotation.judging.queries import (
    NOT_STORED,
    Found,
    ask,
    find_documents,
    open_query,
    run_query,
    set_need,
    shown_last,
)
from annotation.ranking.rankers import ALIGNED, LIGHT, RankingKey, default_ranker, list_rankers
from annotation.workspace import Workspace
from era.corpus import content_hash
from era.types import Document
from storage.errors import DatabaseBusy, DataFolderNotWritable, UnknownRecord
from storage.records import QueryRecord, SearchRecord
from tests.worlds.desk import Desk, new_desk, small_world, swapped_topics
from tests.worlds.judging import found_by
from tests.worlds.words import DOCUMENTS, GRADED_RANKING, GRADED_TEXT, light_embedder


def question(desk: Desk, text: str, instruction: str = "", author: str | None = "ann") -> QueryRecord:
    return ask(desk.workspace, author, desk.collection.id, text, instruction)


def search(desk: Desk, text: str, instruction: str = "", ranker: str = LIGHT, author: str | None = "ann") -> Found:
    return run_query(desk.workspace, author, question(desk, text, instruction, author), RankingKey(ranker))


def ids(found: Found) -> list[str]:
    return [doc_id for doc_id, _ in found.ranking]


def stored_search(desk: Desk, query_id: int) -> SearchRecord | None:
    with desk.workspace.reading() as session:
        return storage.queries.latest_search(session, query_id)


def n_queries(desk: Desk) -> int:
    with desk.workspace.reading() as session:
        return len(storage.queries.list_all(session, desk.collection.id))


def test_run_query_ranks_the_documents_of_the_small_world(desk: Desk) -> None:
    found = search(desk, GRADED_TEXT)
    assert ids(found) == GRADED_RANKING[:10]
    length = (140 + 64) ** 0.5  # of 7, 6, ..., 0 for the animals and 8 for feeding
    expected = [(score / 2**0.5) / length for score in (15, 14, 13, 12, 11, 10, 9, 8, 7, 6)]
    np.testing.assert_allclose([score for _, score in found.ranking], expected, rtol=1e-6)
    assert found.took_ms >= 0


def test_run_query_returns_as_many_documents_as_asked_for(desk: Desk) -> None:
    query = question(desk, GRADED_TEXT)
    assert ids(run_query(desk.workspace, "ann", query, LIGHT, depth=3)) == GRADED_RANKING[:3]
    assert ids(run_query(desk.workspace, "ann", query, LIGHT, depth=99)) == GRADED_RANKING
    shown = stored_search(desk, query.id)
    assert shown is not None
    assert (shown.depth, len(shown.ranking)) == (99, 16)


@pytest.mark.parametrize("text", ["cat", "seal illness illness", "owl", "moth hare hare feeding vet"])
def test_run_query_equals_brute_force(desk: Desk, text: str) -> None:
    light = light_embedder()
    vector = light.encode_documents([text])[0]
    scores = dict(
        zip(
            [document.doc_id for document in DOCUMENTS],
            light.encode_documents([document.content for document in DOCUMENTS]) @ vector,
            strict=True,
        )
    )
    found = search(desk, text).ranking
    shown = [score for _, score in found]
    np.testing.assert_allclose(shown, sorted(scores.values(), reverse=True)[:10], atol=1e-6)
    np.testing.assert_allclose(shown, [scores[doc_id] for doc_id, _ in found], atol=1e-6)


def test_run_query_stores_the_shown_ranking(desk: Desk) -> None:
    query = question(desk, GRADED_TEXT)
    found = run_query(desk.workspace, "bob", query, LIGHT)
    shown = stored_search(desk, query.id)
    assert shown is not None
    assert (shown.author, shown.retriever, shown.depth, shown.took_ms) == ("bob", LIGHT, 10, found.took_ms)
    assert list(shown.ranking) == found.ranking


@pytest.fixture(params=[DatabaseBusy, DataFolderNotWritable])
def unwritable(desk: Desk, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Return a desk whose database is locked by somebody else, or whose disk is full."""

    @contextmanager
    def refuse() -> Iterator[Session]:
        raise request.param(desk.workspace.folder, "database is locked or disk is full")
        yield

    monkeypatch.setattr(desk.workspace, "writing", refuse)
    return desk


def test_searching_works_while_nothing_can_be_stored(unwritable: Desk) -> None:
    query = question(unwritable, "a query that is new")
    assert (query.id, query.text) == (NOT_STORED, "a query that is new")
    found = run_query(unwritable.workspace, "ann", query, LIGHT)
    assert len(found.ranking) == 10


def test_a_query_that_is_stored_is_asked_and_opened_while_nothing_can_be_stored(unwritable: Desk) -> None:
    query = question(unwritable, "cat", "vet")
    assert query.id == unwritable.query_id("cat-vet")
    found = run_query(unwritable.workspace, "ann", query, LIGHT)
    assert len(found.ranking) == 10
    pool = pool_of(unwritable.workspace, found_by(unwritable.workspace, "ann", unwritable.label_set_id, query)).pool
    assert len(pool) == 12
    with unwritable.workspace.reading() as session:
        assert storage.label_sets.pool_of(session, unwritable.label_set_id, query.id) == []
        assert storage.queries.latest_search(session, query.id) is None


def test_a_pool_that_could_not_be_stored_is_stored_when_it_is_asked_for_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = question(desk, "cat", "vet")

    @contextmanager
    def refuse() -> Iterator[Session]:
        raise DatabaseBusy(desk.workspace.folder, "locked")
        yield

    with monkeypatch.context() as busy:
        busy.setattr(desk.workspace, "writing", refuse)
        shown = pool_of(desk.workspace, found_by(desk.workspace, "ann", desk.label_set_id, query)).pool
    assert [
        each.doc_id for each in pool_of(desk.workspace, found_by(desk.workspace, "ann", desk.label_set_id, query)).pool
    ] == [each.doc_id for each in shown]
    with desk.workspace.reading() as session:
        assert len(storage.label_sets.pool_of(session, desk.label_set_id, query.id)) == 12


def test_ask_stores_query_and_instruction_without_searching(desk: Desk) -> None:
    before, n_read = n_queries(desk), len(desk.light.texts_read)
    query = ask(desk.workspace, "ann", desk.collection.id, f"  {GRADED_TEXT}\n", " as an owner ")
    assert (query.text, query.instruction, query.author) == (GRADED_TEXT, "as an owner", "ann")
    assert (query.need, query.public_id) == ("", None)
    assert open_query(desk.workspace, desk.collection.id, query.id) == query
    assert (n_queries(desk), len(desk.light.texts_read)) == (before + 1, n_read)
    assert stored_search(desk, query.id) is None


def test_ask_finds_the_query_again_when_it_is_asked_a_second_time(desk: Desk) -> None:
    first, second = question(desk, "cat", "owner"), question(desk, " cat ", "owner", author="bob")
    assert first == second
    assert first.id == desk.query_id("cat-owner")  # the imported one


def test_ask_keeps_author_and_need_of_a_query_that_was_asked_before(desk: Desk) -> None:
    first = ask(desk.workspace, "ann", desk.collection.id, "owl", "")
    need = set_need(desk.workspace, "ann", desk.collection.id, first.id, " *Feeding* it ").need
    second = ask(desk.workspace, "bob", desk.collection.id, "owl", "")
    assert (second.id, second.need, second.author) == (first.id, need, "ann") == (first.id, "*Feeding* it", "ann")


def test_ask_makes_another_query_when_the_instruction_is_another(desk: Desk) -> None:
    queries = [question(desk, "seal", instruction) for instruction in ("owner", "vet", "")]
    assert len({query.id for query in queries}) == 3
    assert {query.text for query in queries} == {"seal"}


@pytest.mark.parametrize("author", ["ann", None])
@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\x00\x07", "\ud800"])
def test_ask_refuses_an_empty_query(desk: Desk, text: str, author: str | None) -> None:
    with pytest.raises(InvalidInputError, match="Write what you are looking for"):
        question(desk, text, author=author)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (" ".join(["word"] * 10_000), "10,000 words.*at most 1,000 words"),
        (" ".join(["w"] * 1001), "1,001 words.*at most 1,000 words"),
        ("x" * 10_001, "10,001 characters.*at most 10,000"),
    ],
)
def test_ask_refuses_too_long_a_text_with_advice(desk: Desk, text: str, advice: str) -> None:
    before = n_queries(desk)
    with pytest.raises(InvalidInputError, match=f"This query has {advice}"):
        question(desk, text)
    with pytest.raises(InvalidInputError, match=f"This instruction has {advice}"):
        question(desk, "owl", text)
    with pytest.raises(InvalidInputError, match=f"This information need has {advice}"):
        set_need(desk.workspace, "ann", desk.collection.id, desk.query_id("cat-vet"), text)
    assert n_queries(desk) == before


@pytest.mark.parametrize("text", ["x" * 10_000, " ".join(["w"] * 1000)])
def test_ask_takes_the_longest_text_that_is_allowed(desk: Desk, text: str) -> None:
    assert question(desk, text).text == text


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("🦉 owls 👩‍⚕️", "🦉 owls 👩‍⚕️"),
        ("<script>alert('x')</script> & <b>", "<script>alert('x')</script> & <b>"),
        ("'); DROP TABLE query; --", "'); DROP TABLE query; --"),
        ("ﷺ שלום 猫", "ﷺ שלום 猫"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("cat\x00dog\x1b[31m\x7f", "cat dog [31m"),
        ("half \ud83d a pair", "half   a pair"),
        ("\ufeffcat\u200b", "\ufeffcat\u200b"),
    ],
    ids=ascii,
)
def test_ask_stores_odd_characters_cleaned(desk: Desk, text: str, stored: str) -> None:
    query = question(desk, text, text)
    kept = open_query(desk.workspace, desk.collection.id, query.id)
    assert (kept.text, kept.instruction) == (stored, stored)
    assert question(desk, text, text) == query
    assert len(run_query(desk.workspace, "ann", query, LIGHT).ranking) == 10


UNKNOWN_RANKERS = [
    "run-99", "run-0", "run-", "run--1", "run-1;drop", "run-²", "run-١", "run-1/../../x", "run-../1", "", "LIGHT",
    "bm26", "run-" + "9" * 300, "run-" + "9" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("key", UNKNOWN_RANKERS, ids=lambda key: key[:12] + ("..." if len(key) > 12 else ""))
def test_run_query_refuses_a_ranker_that_does_not_exist(desk: Desk, key: str) -> None:
    query = question(desk, "something new")
    with pytest.raises(NotFoundError, match="Choose"):
        run_query(desk.workspace, "ann", query, RankingKey(key))
    assert stored_search(desk, query.id) is None


def test_visitor_finds_documents_and_stores_nothing(desk: Desk) -> None:
    before, known = n_queries(desk), desk.query_id("cat-vet")
    new = question(desk, " something new ", "vet", author=None)
    assert (new.id, new.text, new.instruction) == (NOT_STORED, "something new", "vet")
    assert len(run_query(desk.workspace, None, new, LIGHT).ranking) == 10
    assert len(run_query(desk.workspace, "ann", new, LIGHT).ranking) == 10  # signed in meanwhile
    old = question(desk, "cat", "vet", author=None)
    assert old.id == known
    assert len(run_query(desk.workspace, None, old, LIGHT).ranking) == 10
    assert n_queries(desk) == before
    assert stored_search(desk, known) is None


def test_run_query_is_not_ready_before_the_embedders_are_loaded(bare_workspace: Workspace) -> None:
    collection = store(bare_workspace, small_world(), author="ann", labels="", is_demo=False)
    query = ask(bare_workspace, "ann", collection.id, "cat", "")  # this needs none
    with pytest.raises(NotReadyError):
        run_query(bare_workspace, "ann", query, LIGHT)


def test_run_query_says_so_when_there_is_no_such_collection(desk: Desk) -> None:
    with pytest.raises(UnknownRecord, match="no collection"):
        run_query(desk.workspace, "ann", replace(question(desk, "cat"), collection_id=99), LIGHT)


def test_run_query_uses_the_ranker_that_is_asked_for(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    query = question(judged_desk, GRADED_TEXT)
    swapped = [*GRADED_RANKING[8:], *GRADED_RANKING[:8]]  # illness first
    assert ids(run_query(judged_desk.workspace, "ann", query, RankingKey.of_run(run.id))) == swapped[:10]
    assert shown_last(judged_desk.workspace, query)[0] == f"run-{run.id}"


def test_shown_last_gives_the_latest_ranking_without_searching(desk: Desk) -> None:
    query = question(desk, GRADED_TEXT, "owner")
    first = run_query(desk.workspace, "ann", query, LIGHT)
    assert shown_last(desk.workspace, query) == (LIGHT, first.ranking)
    second = run_query(desk.workspace, "bob", query, ALIGNED)
    n_read = len(desk.light.texts_read)
    assert shown_last(desk.workspace, query) == (ALIGNED, second.ranking)
    assert len(desk.light.texts_read) == n_read


def test_shown_last_gives_nothing_when_nothing_was_shown(desk: Desk) -> None:
    query = open_query(desk.workspace, desk.collection.id, desk.query_id("cat-vet"))
    assert shown_last(desk.workspace, query) == (LIGHT, [])
    assert shown_last(desk.workspace, question(desk, "new", author=None)) == (LIGHT, [])


def test_find_documents_gives_what_is_still_there_in_the_order_asked_for(desk: Desk) -> None:
    wanted = ["wren-illness", "unicorn", "cat-feeding"]
    found = find_documents(desk.workspace, desk.collection.id, wanted)
    assert list(found.items()) == [
        ("wren-illness", Document("wren-illness", "wren", "illness")),
        ("cat-feeding", Document("cat-feeding", "cat", "feeding")),
    ]


def test_find_documents_needs_no_embedders(bare_workspace: Workspace) -> None:
    collection = store(bare_workspace, small_world(), author="ann", labels="", is_demo=False)
    found = find_documents(bare_workspace, collection.id, ["wren-illness", "unicorn", "cat-feeding"])
    assert list(found.items()) == [
        ("wren-illness", Document("wren-illness", "wren", "illness")),
        ("cat-feeding", Document("cat-feeding", "cat", "feeding")),
    ]


def test_open_query_refuses_a_query_of_another_collection(desk: Desk) -> None:
    other = store(desk.workspace, small_world("other"), author="ann", labels="", is_demo=False)
    with pytest.raises(NotFoundError, match="does not exist in this collection"):
        open_query(desk.workspace, other.id, desk.query_id("cat-vet"))
    with pytest.raises(NotFoundError):
        open_query(desk.workspace, desk.collection.id, 999)


def test_default_ranker_is_light_before_the_alignment_and_aligned_after_it(desk: Desk) -> None:
    later = store(desk.workspace, small_world("later"), author="ann", labels="", is_demo=False)
    label_set_id = open_page(desk.workspace, later.id, None).label_set.id
    assert default_ranker(desk.workspace, later.id, label_set_id) == LIGHT
    opened = desk.workspace.open(later.id)
    assert default_ranker(desk.workspace, later.id, label_set_id) == LIGHT
    opened.aligned()
    assert default_ranker(desk.workspace, later.id, label_set_id) == "aligned+words+reread"


def test_default_ranker_is_the_newest_finished_run_of_the_label_set(judged_desk: Desk) -> None:
    ids = judged_desk.collection.id, judged_desk.label_set_id
    judged_desk.finish_by_hand(swapped_topics())
    second = judged_desk.finish_by_hand(swapped_topics())
    third = judged_desk.start()
    with judged_desk.workspace.writing() as session:
        storage.jobs.cancel_request(session, third.job_id)
        other = storage.label_sets.get_or_create(session, judged_desk.collection.id, "other", "ann")
    assert default_ranker(judged_desk.workspace, *ids) == f"run-{second.id}"
    assert default_ranker(judged_desk.workspace, judged_desk.collection.id, other.id) == "aligned+words+reread"


def test_rankers_lists_the_plain_ones_then_finished_runs_from_new_to_old(judged_desk: Desk) -> None:
    first, second = (judged_desk.finish_by_hand(swapped_topics()) for _ in range(2))
    judged_desk.start()
    listed = list_rankers(judged_desk.workspace, judged_desk.collection.id)
    runs = [f"run-{second.id}", f"run-{first.id}"]
    usual = [LIGHT, "aligned+words", *(f"{key}+words" for key in runs)]
    assert [ranker.key for ranker in listed] == [*usual, "light+words", ALIGNED, *runs]
    assert [ranker.label for ranker in listed[2:4]] == [
        "after your marks (run 2)",
        "after your marks (run 1)",
    ]
    assert listed[5].label == "aligned, no labels, vectors alone"
    assert [ranker.run for ranker in listed] == ["", "", "2", "1"] * 2


def test_matching_words_raise_the_document_that_holds_them(tmp_path: Path) -> None:
    documents = [*DOCUMENTS, Document("parrot", "", "parrot cat illness dog")]  # the models know no parrot
    desk = new_desk(tmp_path, small_world(documents=documents))
    plain = search(desk, "parrot cat illness", ranker=ALIGNED)
    with_words = search(desk, "parrot cat illness", ranker=f"{ALIGNED}+words")
    shown = shown_last(desk.workspace, question(desk, "parrot cat illness"))
    desk.workspace.close()
    before, after = dict(plain.ranking), dict(with_words.ranking)
    added = {doc_id: after[doc_id] - before[doc_id] for doc_id in before.keys() & after.keys()}
    assert max(added, key=lambda doc_id: added[doc_id]) == "parrot"
    assert min(added.values()) > -1e-6
    assert shown == ("aligned+words", with_words.ranking)


@pytest.mark.parametrize("key", ["+words", "aligned+words+words", "run-+words", "run-9+words", "words"])
def test_a_ranking_that_does_not_exist_is_refused(judged_desk: Desk, key: str) -> None:
    with pytest.raises(NotFoundError):
        search(judged_desk, "cat", ranker=key)


def test_small_world_is_stored_as_it_was_made(desk: Desk) -> None:
    """Guard the expectations above: sixteen different documents, in their order."""
    assert len({content_hash(document) for document in DOCUMENTS}) == 16
    assert [document.doc_id for document in DOCUMENTS[:3]] == ["cat-feeding", "cat-illness", "dog-feeding"]
