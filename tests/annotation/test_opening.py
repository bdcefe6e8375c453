"""What a page shows when it opens: what was asked for, or the likeliest with a remark."""

from dataclasses import replace
from pathlib import Path

import pytest

from annotation.collections.page import (
    likeliest_collection,
    list_collections,
    list_instructions,
    list_queries,
    open_page,
    use_collection,
)
from annotation.collections.store_whole import store
from annotation.judging.marks import start_label_set
from annotation.labels.current import UNTOUCHED, QueryStanding
from storage.errors import UnknownRecord
from storage.records import CollectionRecord
from tests.worlds.desk import Desk, small_world
from tests.worlds.words import QUERIES


@pytest.fixture
def newer(desk: Desk) -> CollectionRecord:
    return store(desk.workspace, small_world("newer"), author="ann", labels="", is_demo=False)


def test_open_page_shows_what_is_asked_for(desk: Desk, newer: CollectionRecord) -> None:
    first = desk.label_set_id
    start_label_set(desk.workspace, "ann", desk.collection.id, "second")
    page = open_page(desk.workspace, desk.collection.id, first)
    assert (page.collection.id, page.label_set.id, page.remark) == (desk.collection.id, first, "")


def test_open_page_shows_the_collection_used_last_when_none_is_asked_for(desk: Desk, newer: CollectionRecord) -> None:
    assert open_page(desk.workspace, None, None).collection.id == newer.id
    use_collection(desk.workspace, desk.collection.id)
    page = open_page(desk.workspace, None, None)
    assert (page.collection.id, page.remark) == (desk.collection.id, "")
    assert [each.id for each in list_collections(desk.workspace)] == [desk.collection.id, newer.id]


@pytest.mark.parametrize("where", [{"people": "people.txt"}, {"space_id": "ann/era"}])
def test_what_others_open_changes_nobodys_page(
    desk: Desk, newer: CollectionRecord, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: dict[str, str]
) -> None:
    shared = desk.workspace.settings.model_copy(update={name: tmp_path / value for name, value in where.items()})
    monkeypatch.setattr(desk.workspace, "settings", shared)
    desk.mark(desk.query_id("cat-vet"), "cat-illness", 1.0, 1)
    before = [(each.id, each.last_used_at) for each in list_collections(desk.workspace)]
    use_collection(desk.workspace, desk.collection.id)
    assert [(each.id, each.last_used_at) for each in list_collections(desk.workspace)] == before
    assert likeliest_collection(desk.workspace, "ann") == desk.collection.id  # where she marked
    assert likeliest_collection(desk.workspace, "ben") is likeliest_collection(desk.workspace, None) is None


def test_the_one_person_at_a_machine_finds_what_was_opened_last(desk: Desk, newer: CollectionRecord) -> None:
    desk.mark(desk.query_id("cat-vet"), "cat-illness", 1.0, 1)
    assert likeliest_collection(desk.workspace, "ann") is None


def test_open_page_shows_the_newest_label_set_when_none_is_asked_for(desk: Desk) -> None:
    new = start_label_set(desk.workspace, "ann", desk.collection.id, "A later one, first in the alphabet")
    page = open_page(desk.workspace, desk.collection.id, None)
    assert (page.label_set.id, page.remark) == (new, "")


@pytest.mark.parametrize("collection_id", [99, 0, -1])
def test_open_page_says_so_when_the_collection_does_not_exist(desk: Desk, collection_id: int) -> None:
    page = open_page(desk.workspace, collection_id, None)
    assert page.collection.id == desk.collection.id
    assert "collection of this address does not exist" in page.remark
    assert "animals" in page.remark


def test_open_page_says_so_when_the_label_set_does_not_exist_here(desk: Desk, newer: CollectionRecord) -> None:
    foreign = open_page(desk.workspace, newer.id, None).label_set.id
    for label_set_id in (999, foreign):
        page = open_page(desk.workspace, desk.collection.id, label_set_id)
        assert page.label_set.collection_id == desk.collection.id
        assert "label set of this address does not exist here" in page.remark


def test_list_queries_gives_written_ones_from_new_to_old_then_imported_ones(desk: Desk) -> None:
    first, second = desk.ask("first of mine"), desk.ask("second of mine")
    listed = list_queries(desk.workspace, desk.page)
    assert [each.query.id for each in listed[:2]] == [second, first]
    assert [each.query.public_id for each in listed[2:]] == [query.query_id for query in QUERIES]


def test_list_queries_counts_the_marks_of_the_open_label_set(desk: Desk) -> None:
    first, query_id = desk.label_set_id, desk.query_id("cat-vet")
    desk.mark(query_id, "cat-illness", 1.0, 1)
    desk.mark(query_id, "cat-feeding", 0.0, 2)
    desk.mark(query_id, "dog-feeding", 0.0, 3)

    def counts(label_set_id: int) -> tuple[int, int]:
        listed = list_queries(desk.workspace, open_page(desk.workspace, desk.collection.id, label_set_id))
        [standing] = [each.standing for each in listed if each.query.id == query_id]
        return standing.n_relevant, standing.n_not_relevant

    second = start_label_set(desk.workspace, "ann", desk.collection.id, "second")
    assert counts(first) == (1, 2)
    assert counts(second) == (0, 0)


def test_list_queries_counts_what_is_agreed_and_whose_part_it_is(desk: Desk) -> None:
    query_id = desk.query_id("cat-vet")
    desk.mark(query_id, "cat-illness", 1.0, 1)
    desk.mark(query_id, "cat-illness", 1.0, 2, author="bob")
    desk.mark(query_id, "cat-feeding", 0.0, 3)
    desk.mark(query_id, "cat-feeding", 1.0, 4, author="bob")
    desk.mark(query_id, "dog-feeding", 0.0, 5, author="bob")

    def standing_for(author: str | None) -> QueryStanding:
        listed = list_queries(desk.workspace, desk.page, author)
        assert [each.standing for each in listed if each.query.id != query_id] == [UNTOUCHED] * 11
        return next(each.standing for each in listed if each.query.id == query_id)

    of_bob = QueryStanding(n_relevant=1, n_not_relevant=1, n_undecided=1, n_conflicts=1, n_mine=3, n_people=2)
    assert standing_for("bob") == of_bob
    assert standing_for("ann") == replace(of_bob, n_mine=2)
    assert standing_for("cleo") == standing_for(None) == replace(of_bob, n_mine=0)


def test_list_instructions_gives_the_commonest_first_and_none_last(desk: Desk) -> None:
    desk.ask("a query without instruction")
    desk.ask("hare", "vet's assistant")
    desk.ask("seal", "vet")
    assert list_instructions(desk.workspace, desk.collection.id) == ["vet", "owner", "vet's assistant", ""]


def test_use_collection_says_so_when_there_is_none(desk: Desk) -> None:
    with pytest.raises(UnknownRecord, match="no collection with the id 99"):
        use_collection(desk.workspace, 99)
