"""A label set: started empty, opened where there is one, and counted by the grades in it."""

import pytest

from annotation.collections.page import list_label_sets
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.marks import start_label_set
from annotation.labels.current import LabelCounts
from tests.worlds.desk import Desk


def test_start_label_set_starts_an_empty_one_or_opens_the_one_of_that_name(judged_desk: Desk) -> None:
    new = start_label_set(judged_desk.workspace, "bob", judged_desk.collection.id, "  Bob's\n labels ")
    assert start_label_set(judged_desk.workspace, "ann", judged_desk.collection.id, "Bob's labels") == new
    old, made = list_label_sets(judged_desk.workspace, judged_desk.collection.id)
    assert (made.label_set.id, made.label_set.name, made.label_set.created_by) == (new, "Bob's labels", "bob")
    assert (old.counts.n_judged, made.counts.n_judged) == (24, 0)
    assert start_label_set(judged_desk.workspace, "bob", judged_desk.collection.id, "Ann's labels") == old.label_set.id


@pytest.mark.parametrize("name", ["", "  \n", "x" * 61])
def test_start_label_set_refuses_a_name_that_cannot_be_shown(desk: Desk, name: str) -> None:
    with pytest.raises(InvalidInputError, match="at most 60 characters"):
        start_label_set(desk.workspace, "ann", desk.collection.id, name)
    assert len(list_label_sets(desk.workspace, desk.collection.id)) == 1


@pytest.mark.parametrize("name", ["half \ud83d a pair", "a\x00b"])
def test_start_label_set_cleans_or_refuses_control_characters(desk: Desk, name: str) -> None:
    try:
        start_label_set(desk.workspace, "ann", desk.collection.id, name)
    except InvalidInputError:
        return
    assert list_label_sets(desk.workspace, desk.collection.id)[1].label_set.name.isprintable()


def test_start_label_set_refuses_when_nobody_is_signed_in(desk: Desk) -> None:
    with pytest.raises(NotAllowedError, match="Sign in"):
        start_label_set(desk.workspace, None, desk.collection.id, "mine")


def test_list_label_sets_counts_each_document_once_however_many_judged_it(desk: Desk) -> None:
    query_id, other = desk.query_id("cat-vet"), desk.query_id("dog-vet")
    desk.mark(query_id, "cat-illness", 1.0, 1)
    desk.mark(query_id, "cat-illness", 1.0, 2, author="bob")
    desk.mark(query_id, "cat-feeding", 0.0, 3)
    desk.mark(other, "dog-illness", 1.0, 4)
    desk.mark(other, "dog-illness", 0.0, 5)  # instead of the one before
    [summary] = list_label_sets(desk.workspace, desk.collection.id)
    assert summary.counts == LabelCounts(n_queries=2, n_labelled=1, n_relevant=1, n_not_relevant=2, n_undecided=0)
