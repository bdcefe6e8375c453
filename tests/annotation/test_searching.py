"""A query: what is stored of it, what is refused, and that the ranking is the right one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import storage.collections
import storage.label_sets
import storage.searches
import storage.training_runs
from annotation.errors import InvalidInputError, NotFoundError, NotReadyError
from annotation.importing import store
from annotation.searching import (
    ALIGNED,
    LIGHT,
    Search,
    default_ranker,
    open_query,
    rankers,
    run_query,
    show_again,
)
from annotation.workspace import Workspace
from era.corpus import content_hash
from era.types import Document
from storage.errors import UnknownRecord
from storage.records import SearchRecord
from tests.annotation.conftest import (
    DOCUMENTS,
    GRADED_RANKING,
    GRADED_TEXT,
    Desk,
    new_desk,
    small_world,
    swapped_topics,
)
from tests.fakes import light_embedder


def search(desk: Desk, text: str, instruction: str = "", ranker: str = LIGHT, author: str | None = "ann") -> Search:
    return run_query(desk.workspace, author, desk.collection.id, desk.label_set_id, text, instruction, ranker)


def shown_last(desk: Desk, query_id: int) -> SearchRecord | None:
    with desk.workspace.reading() as session:
        return storage.searches.latest_for_query(session, query_id)


def n_queries(desk: Desk) -> int:
    with desk.workspace.reading() as session:
        return len(storage.queries.list_with_progress(session, desk.collection.id, 0))


def test_run_query_ranks_the_documents_of_the_small_world(desk: Desk) -> None:
    found = search(desk, GRADED_TEXT)
    assert [result.doc_id for result in found.results] == GRADED_RANKING[:10]
    assert [result.rank for result in found.results] == list(range(1, 11))
    length = (140 + 64) ** 0.5  # of 7, 6, ..., 0 for the animals and 8 for feeding
    expected = [(score / 2**0.5) / length for score in (15, 14, 13, 12, 11, 10, 9, 8, 7, 6)]
    np.testing.assert_allclose([result.score for result in found.results], expected, rtol=1e-6)
    assert (found.results[0].title, found.results[0].text) == ("cat", "feeding")
    assert (found.n_documents, found.ranker) == (16, LIGHT)
    assert found.took_ms is not None
    assert found.took_ms >= 0


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
    found = search(desk, text).results
    shown = [result.score for result in found]
    np.testing.assert_allclose(shown, sorted(scores.values(), reverse=True)[:10], atol=1e-6)
    np.testing.assert_allclose(shown, [scores[result.doc_id] for result in found], atol=1e-6)


def test_run_query_stores_query_and_shown_ranking(desk: Desk) -> None:
    found = search(desk, f"  {GRADED_TEXT}\n", " as an owner ")
    assert found.query is not None
    assert (found.query.text, found.query.instruction, found.query.author) == (GRADED_TEXT, "as an owner", "ann")
    assert open_query(desk.workspace, desk.collection.id, found.query.id) == found.query
    shown = shown_last(desk, found.query.id)
    assert shown is not None
    assert (shown.author, shown.retriever, shown.depth) == ("ann", LIGHT, 10)
    assert list(shown.ranking) == [(result.doc_id, result.score) for result in found.results]


def test_run_query_stores_neither_query_nor_ranking_when_one_fails(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        raise OSError("the disk is full")

    before = n_queries(desk)
    monkeypatch.setattr(storage.searches, "record", fail)
    with pytest.raises(OSError, match="disk is full"):
        search(desk, "a new query")
    assert n_queries(desk) == before


def test_run_query_finds_the_query_again_when_it_is_asked_a_second_time(desk: Desk) -> None:
    first, second = search(desk, "cat", "owner"), search(desk, " cat ", "owner")
    assert first.query == second.query
    assert first.query is not None
    assert first.query.id == desk.query_id("cat-owner")  # the imported one


def test_run_query_makes_another_query_when_the_instruction_is_another(desk: Desk) -> None:
    queries = [search(desk, "seal", instruction).query for instruction in ("owner", "vet", "")]
    assert len({query.id for query in queries if query}) == 3
    assert {query.text for query in queries if query} == {"seal"}


def test_run_query_brings_the_marks_that_stand(desk: Desk) -> None:
    query_id = desk.query_id("cat-vet")
    desk.mark(query_id, "cat-illness", 1.0, 1)
    desk.mark(query_id, "cat-feeding", 0.0, 2)
    desk.mark(query_id, "dog-feeding", 1.0, 3)
    desk.mark(query_id, "dog-feeding", None, 4)
    grades = {doc_id: mark.grade for doc_id, mark in search(desk, "cat", "vet").marks.items()}
    assert grades == {"cat-illness": 1.0, "cat-feeding": 0.0}
    assert not search(desk, "cat", "owner").marks


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\x00\x07", "\ud800"])
def test_run_query_refuses_an_empty_query(desk: Desk, text: str) -> None:
    with pytest.raises(InvalidInputError, match="Write what you are looking for"):
        search(desk, text)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (" ".join(["word"] * 10_000), "10,000 words.*at most 1,000 words"),
        (" ".join(["w"] * 1001), "1,001 words.*at most 1,000 words"),
        ("x" * 10_001, "10,001 characters.*at most 10,000"),
    ],
)
def test_run_query_refuses_too_long_a_text_with_advice(desk: Desk, text: str, advice: str) -> None:
    before = n_queries(desk)
    with pytest.raises(InvalidInputError, match=f"This query has {advice}"):
        search(desk, text)
    with pytest.raises(InvalidInputError, match=f"This instruction has {advice}"):
        search(desk, "cat", text)
    assert n_queries(desk) == before


@pytest.mark.parametrize("text", ["x" * 10_000, " ".join(["w"] * 1000)])
def test_run_query_takes_the_longest_text_that_is_allowed(desk: Desk, text: str) -> None:
    assert search(desk, text).text == text


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
def test_run_query_stores_odd_characters_cleaned(desk: Desk, text: str, stored: str) -> None:
    found = search(desk, text, text)
    assert found.query is not None
    kept = open_query(desk.workspace, desk.collection.id, found.query.id)
    assert (kept.text, kept.instruction) == (stored, stored)
    assert search(desk, text, text).query == found.query


UNKNOWN_RANKERS = [
    "run-99", "run-0", "run-", "run--1", "run-1;drop", "run-²", "run-١", "run-1/../../x", "run-../1", "", "LIGHT",
    "bm25", "run-" + "9" * 300, "run-" + "9" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("key", UNKNOWN_RANKERS, ids=lambda key: key[:12] + ("..." if len(key) > 12 else ""))
def test_run_query_refuses_a_ranker_that_does_not_exist(desk: Desk, key: str) -> None:
    before = n_queries(desk)
    with pytest.raises(NotFoundError, match="Choose"):
        search(desk, "something new", ranker=key)
    assert n_queries(desk) == before


def test_run_query_stores_nothing_when_nobody_is_signed_in(desk: Desk) -> None:
    before, known = n_queries(desk), desk.query_id("cat-vet")
    desk.mark(known, "cat-illness", 1.0, 1)
    new = search(desk, "something new", author=None)
    assert new.query is None
    assert len(new.results) == 10
    old = search(desk, "cat", "vet", author=None)
    assert old.query is not None
    assert old.query.id == known
    assert old.marks.keys() == {"cat-illness"}
    assert n_queries(desk) == before
    assert shown_last(desk, known) is None


def test_run_query_is_not_ready_before_the_embedders_are_loaded(bare_workspace: Workspace) -> None:
    collection = store(bare_workspace, small_world(), author="ann", labels="", is_demo=False)
    with pytest.raises(NotReadyError):
        run_query(bare_workspace, "ann", collection.id, 1, "cat", "", LIGHT)


def test_run_query_says_so_when_there_is_no_such_collection(desk: Desk) -> None:
    with pytest.raises(UnknownRecord, match="no collection"):
        run_query(desk.workspace, "ann", 99, desk.label_set_id, "cat", "", LIGHT)


def test_run_query_uses_the_ranker_that_is_asked_for(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    found = search(judged_desk, GRADED_TEXT, ranker=f"run-{run.id}")
    swapped = [*GRADED_RANKING[8:], *GRADED_RANKING[:8]]  # illness first
    assert [result.doc_id for result in found.results] == swapped[:10]
    assert found.ranker == f"run-{run.id}"


def test_show_again_gives_the_ranking_shown_last_without_searching(desk: Desk) -> None:
    found = search(desk, GRADED_TEXT, "owner")
    assert found.query is not None
    desk.mark(found.query.id, "cat-feeding", 1.0, 1)
    n_read = len(desk.light.texts_read)
    again = show_again(desk.workspace, desk.collection.id, desk.label_set_id, found.query)
    assert again.results == found.results
    assert (again.text, again.instruction, again.query, again.ranker) == (GRADED_TEXT, "owner", found.query, LIGHT)
    assert (again.n_documents, again.took_ms) == (16, None)
    assert again.marks.keys() == {"cat-feeding"}
    assert len(desk.light.texts_read) == n_read


def test_show_again_gives_nothing_when_nothing_was_shown(desk: Desk) -> None:
    query = open_query(desk.workspace, desk.collection.id, desk.query_id("cat-vet"))
    assert show_again(desk.workspace, desk.collection.id, desk.label_set_id, query).results == []


def test_open_query_refuses_a_query_of_another_collection(desk: Desk) -> None:
    other = store(desk.workspace, small_world("other"), author="ann", labels="", is_demo=False)
    with pytest.raises(NotFoundError, match="does not exist in this collection"):
        open_query(desk.workspace, other.id, desk.query_id("cat-vet"))
    with pytest.raises(NotFoundError):
        open_query(desk.workspace, desk.collection.id, 999)


def test_default_ranker_is_light_before_the_alignment_and_aligned_after_it(desk: Desk) -> None:
    later = store(desk.workspace, small_world("later"), author="ann", labels="", is_demo=False)
    assert default_ranker(desk.workspace, later.id, 1) == LIGHT
    library = desk.workspace.library(later.id)
    assert default_ranker(desk.workspace, later.id, 1) == LIGHT
    library.aligned()
    assert default_ranker(desk.workspace, later.id, 1) == ALIGNED


def test_default_ranker_is_the_newest_finished_run_of_the_label_set(judged_desk: Desk) -> None:
    ids = judged_desk.collection.id, judged_desk.label_set_id
    judged_desk.finish_by_hand(swapped_topics())
    second = judged_desk.finish_by_hand(swapped_topics())
    third = judged_desk.start()
    with judged_desk.workspace.writing() as session:
        storage.training_runs.cancel_request(session, third.id)
        other = storage.label_sets.get_or_create(session, judged_desk.collection.id, "other", "ann")
    assert default_ranker(judged_desk.workspace, *ids) == f"run-{second.id}"
    assert default_ranker(judged_desk.workspace, judged_desk.collection.id, other.id) == ALIGNED


def test_rankers_lists_the_plain_ones_then_finished_runs_from_new_to_old(judged_desk: Desk) -> None:
    first, second = (judged_desk.finish_by_hand(swapped_topics()) for _ in range(2))
    judged_desk.start()
    listed = rankers(judged_desk.workspace, judged_desk.collection.id)
    plain = [LIGHT, ALIGNED, f"run-{second.id}", f"run-{first.id}"]
    assert [ranker.key for ranker in listed] == [*plain, *(f"{key}+words" for key in plain)]
    assert [ranker.label for ranker in listed[2:4]] == ["after your marks (run 2)", "after your marks (run 1)"]
    assert listed[5].label == "aligned, no labels + matching words"


def test_matching_words_raise_the_document_that_holds_them(tmp_path: Path) -> None:
    documents = [*DOCUMENTS, Document("parrot", "", "parrot cat illness dog")]  # the models know no parrot
    desk = new_desk(tmp_path, small_world(documents=documents))
    plain = search(desk, "parrot cat illness", ranker=ALIGNED)
    with_words = search(desk, "parrot cat illness", ranker=f"{ALIGNED}+words")
    again = show_again(desk.workspace, desk.collection.id, desk.label_set_id, with_words.query)  # type: ignore[arg-type]
    desk.workspace.close()
    before, after = ({result.doc_id: result.score for result in found.results} for found in (plain, with_words))
    added = {doc_id: after[doc_id] - before[doc_id] for doc_id in before.keys() & after.keys()}
    assert max(added, key=lambda doc_id: added[doc_id]) == "parrot"
    assert min(added.values()) > -1e-6
    assert with_words.ranker == again.ranker == "aligned+words"
    assert [result.doc_id for result in again.results] == [result.doc_id for result in with_words.results]


@pytest.mark.parametrize("key", ["+words", "aligned+words+words", "run-+words", "run-9+words", "words"])
def test_a_ranking_that_does_not_exist_is_refused(judged_desk: Desk, key: str) -> None:
    with pytest.raises(NotFoundError):
        search(judged_desk, "cat", ranker=key)


def test_small_world_is_stored_as_it_was_made(desk: Desk) -> None:
    """Guard the expectations above: sixteen different documents, in their order."""
    assert len({content_hash(document) for document in DOCUMENTS}) == 16
    assert [document.doc_id for document in DOCUMENTS[:3]] == ["cat-feeding", "cat-illness", "dog-feeding"]
