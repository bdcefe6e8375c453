"""Who judged how much and how well they agree, counted by hand."""

import pytest

from annotation.comparing.measure import coverage
from annotation.errors import NotReadyError
from annotation.judging.agreement import PairAgreement, people_of
from annotation.judging.review import DrawnMarks
from annotation.labels.current import PersonCounts
from annotation.workspace import Workspace
from era.encoders.base import EmbedderPair
from tests.worlds.desk import Desk, staged_pair, swapped_topics
from tests.worlds.judging import bring_reference, decide, offer, say, say_all, write_query
from tests.worlds.words import GRADED_TEXT


def test_people_of_counts_what_each_person_did(desk: Desk) -> None:
    cat, dog = write_query(desk, "cat").id, write_query(desk, "dog").id
    say(desk, "ben", cat, "cat-feeding", 1.0, seconds=4.0)
    say(desk, "ann", cat, "cat-feeding", 0.0, seconds=10.0)
    say(desk, "ann", cat, "cat-feeding", 1.0, seconds=2.0)  # thought again
    say(desk, "ann", cat, "cat-illness", 0.0, seconds=3.0)
    say(desk, "ann", dog, "dog-feeding", 0.0)
    say(desk, "ann", dog, "dog-illness", None, is_unsure=True)
    decide(desk, "cora", dog, "dog-illness", 1.0)
    bring_reference(desk, cat, "cat-feeding", 1.0)
    offer(desk, cat, "cat-feeding")
    offer(desk, dog, "dog-feeding")
    ann, ben, cora = people_of(desk.workspace, "ann", desk.collection.id, desk.label_set_id).work
    assert (ann.author, ann.counts) == ("ann", PersonCounts(n_graded=3, n_relevant=1, n_unsure=1, n_queries=2))
    assert ann.share_relevant == pytest.approx(1 / 3)
    assert ann.median_seconds == 3.0
    assert ann.first_at < ann.last_at
    assert (ben.author, ben.counts) == ("ben", PersonCounts(n_graded=1, n_relevant=1, n_unsure=0, n_queries=1))
    assert (ben.share_relevant, ben.median_seconds, ben.first_at) == (1.0, 4.0, ben.last_at)
    assert (cora.author, cora.counts, cora.share_relevant, cora.median_seconds) == (
        "cora",
        PersonCounts(),
        None,
        None,
    )


def test_people_of_tells_how_they_agree(desk: Desk) -> None:
    cat = write_query(desk, "cat").id
    say_all(desk, "ann", cat, ["cat-feeding", "dog-feeding"], 1.0)
    say_all(desk, "ann", cat, ["cat-illness", "dog-illness"], 0.0)
    say_all(desk, "ben", cat, ["cat-feeding", "dog-feeding", "cat-illness"], 1.0)
    say(desk, "ben", cat, "dog-illness", 0.0)
    offer(desk, cat, "cat-feeding")  # so that ann is done
    people = people_of(desk.workspace, "ann", desk.collection.id, desk.label_set_id)
    assert people.pairs == [PairAgreement("ann", "ben", 4, 0.75)]
    assert people.n_conflicts == 1
    assert people.agreement is not None
    # 1 - (n - 1) * 2 / (2 * 5 * 3), of n = 8 grades: 5 relevant, 3 not, and 2 of them in the pair that differs
    assert people.agreement.alpha == pytest.approx(1 - 7 * 2 / 30)
    assert (people.agreement.n_pairs, people.agreement.n_people) == (4, 2)


def test_own_share_of_relevant_marks_counts_every_query_and_that_of_others_those_one_is_done_with(desk: Desk) -> None:
    cat, dog = write_query(desk, "cat").id, write_query(desk, "dog").id
    for author in ("ann", "ben"):
        say(desk, author, cat, "cat-feeding", 1.0)
        say(desk, author, dog, "dog-feeding", 0.0)
    offer(desk, cat, "cat-feeding")
    offer(desk, dog, "dog-feeding", "seal-feeding")  # so that both are done with cat alone
    people = people_of(desk.workspace, "ann", desk.collection.id, desk.label_set_id)
    assert people.n_hidden == 1
    assert {each.author: each.share_relevant for each in people.work} == {"ann": 0.5, "ben": 1.0}


def test_people_of_tells_how_often_each_kept_what_was_drawn_to_be_looked_at_again(desk: Desk) -> None:
    cat = write_query(desk, "cat").id
    for doc_id, grade in (("cat-feeding", 1.0), ("cat-illness", 0.0), ("dog-feeding", 1.0)):
        say(desk, "ann", cat, doc_id, grade)
        say(desk, "ben", cat, doc_id, grade)
    say(desk, "ann", cat, "cat-feeding", 1.0, ranker="again-drawn")
    say(desk, "ann", cat, "cat-illness", 1.0, ranker="again-drawn")
    say(desk, "ann", cat, "dog-feeding", 0.0, ranker="again")
    work = people_of(desk.workspace, "ann", desk.collection.id, desk.label_set_id).work
    assert {each.author: each.drawn for each in work} == {"ann": DrawnMarks(2, 1), "ben": DrawnMarks()}


def test_people_of_an_empty_label_set_is_nobody(desk: Desk) -> None:
    people = people_of(desk.workspace, "ann", desk.collection.id, desk.label_set_id)
    assert (list(people.work), people.agreement, list(people.pairs), people.n_conflicts) == ([], None, [], 0)


def test_people_of_does_not_count_a_query_whose_marks_were_taken_back(desk: Desk) -> None:
    cat = write_query(desk, "cat").id
    say(desk, "ann", cat, "cat-feeding", 1.0)
    say(desk, "ann", cat, "cat-feeding", None)
    assert [
        each.counts.n_queries for each in people_of(desk.workspace, "ann", desk.collection.id, desk.label_set_id).work
    ] in ([], [0])


def test_coverage_is_the_judged_share_of_the_first_ten_before_and_after(desk: Desk) -> None:
    query_id = write_query(desk, GRADED_TEXT).id
    say(desk, "ann", query_id, "cat-feeding", 1.0)
    say_all(desk, "ann", query_id, ["dog-feeding", "moth-illness"], 0.0)
    desk.finish_by_hand(swapped_topics())
    # feeding of all eight, then illness of cat and dog; the run has illness of all eight, then feeding of cat and dog
    found = coverage(desk.workspace, desk.collection.id, desk.label_set_id)
    assert found is not None
    assert (found.n_queries, round(found.before, 6), round(found.after, 6)) == (1, 0.2, 0.3)


def test_coverage_is_none_without_a_relevant_document(desk: Desk) -> None:
    say(desk, "ann", write_query(desk, GRADED_TEXT).id, "cat-feeding", 0.0)
    assert coverage(desk.workspace, desk.collection.id, desk.label_set_id) is None


def test_coverage_says_when_the_embedders_are_not_there_yet(judged_desk: Desk) -> None:
    label_set_id = judged_desk.label_set_id
    judged_desk.workspace.close()
    waiting = Workspace(judged_desk.workspace.settings, lambda spec, device: EmbedderPair(*staged_pair()))
    try:
        with pytest.raises(NotReadyError):
            coverage(waiting, judged_desk.collection.id, label_set_id)
    finally:
        waiting.close()
