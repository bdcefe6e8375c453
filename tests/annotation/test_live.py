"""Following the marks: four states, each made by judgments whose effect on the scores is worked out on paper.

Beside a query vector "cat", feedback of cat-feeding lifts other feeding over illness, so two queries that wanted
feeding of several animals make any weight pay, and the smallest, 0.15, is taken.

Words are tried where documents of an animal are told apart by words that no embedder knows: `worded_desk`.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import era.method.reranking
from annotation.errors import NotAllowedError, NotFoundError, NotReadyError
from annotation.judging.assist import Followed, follow
from annotation.ranking import rankers
from annotation.ranking.rankers import LIGHT, RankingKey
from annotation.workspace import Workspace
from era.adapter import HELD_OUT_WORD_WEIGHTS, QueryAdapter, light_only
from era.encoders.base import EmbedderPair
from era.index.lexical import WORD_WEIGHT
from era.types import Document
from storage.records import QueryRecord
from tests.worlds.desk import Desk, new_desk, small_world, staged_pair, swapped_topics
from tests.worlds.judging import DOC_IDS, decide, found_by, ids, say, say_all, write_query
from tests.worlds.words import GRADED_RANKING, GRADED_TEXT, light_embedder


def live(desk: Desk, author: str | None, query: QueryRecord, ranker: str = LIGHT) -> Followed:
    return follow(desk.workspace, found_by(desk.workspace, author, desk.label_set_id, query), RankingKey(ranker))


def teach_that_it_helps(desk: Desk, animals: tuple[str, ...] = ("cat", "dog")) -> list[int]:
    """Judge queries whose relevant documents share their topic, which the query does not name."""
    taught = []
    for animal in animals:
        query_id = write_query(desk, animal).id
        say_all(desk, "cora", query_id, [f"{animal}-feeding", "trout-feeding", "wren-feeding"], 1.0)
        say_all(desk, "cora", query_id, [f"{animal}-illness", "trout-illness"], 0.0)
        taught.append(query_id)
    return taught


def teach_that_it_is_no_help(desk: Desk) -> None:
    """Judge queries whose relevant documents are first without feedback."""
    for animal in ("cat", "dog"):
        query_id = write_query(desk, animal).id
        say_all(desk, "cora", query_id, [f"{animal}-feeding", f"{animal}-illness"], 1.0)
        say(desk, "cora", query_id, "moth-feeding", 0.0)


def test_follow_moves_the_ranking_towards_what_was_marked_as_relevant(desk: Desk) -> None:
    teach_that_it_helps(desk)
    query = write_query(desk, "moth")
    say(desk, "ann", query.id, "newt-illness", 1.0)
    followed = live(desk, "ann", query)
    assert followed.state == "changed"
    assert ids(followed.cards)[:3] == ["moth-illness", "moth-feeding", "newt-illness"]
    # the vector is moth 1, newt and illness 0.15 / 2 ** 0.5 each, of length 1.0225 ** 0.5
    part = 0.15 / 2**0.5
    scores = {card.document.doc_id: card.score for card in followed.cards}
    assert scores["moth-illness"] == pytest.approx((1 + part) / (2 * 1.0225) ** 0.5, rel=1e-5)
    assert scores["moth-feeding"] == pytest.approx(1 / (2 * 1.0225) ** 0.5, rel=1e-5)
    assert scores["newt-illness"] == pytest.approx(2 * part / (2 * 1.0225) ** 0.5, rel=1e-5)
    assert scores["hare-illness"] == pytest.approx(part / (2 * 1.0225) ** 0.5, rel=1e-5)
    assert scores["hare-feeding"] == pytest.approx(0, abs=1e-6)
    assert [card.rank for card in followed.cards] == list(range(1, 17))


def test_follow_waits_for_the_first_relevant_mark_of_this_person(desk: Desk) -> None:
    teach_that_it_helps(desk)
    query = write_query(desk, GRADED_TEXT)
    say(desk, "ann", query.id, "cat-feeding", 0.0)
    say(desk, "ann", query.id, "dog-feeding", None, is_unsure=True)
    followed = live(desk, "ann", query)
    assert (followed.state, ids(followed.cards)) == ("waiting", GRADED_RANKING)
    say(desk, "ann", query.id, "moth-illness", 1.0)
    assert live(desk, "ann", query).state == "changed"
    say(desk, "ann", query.id, "moth-illness", None)
    followed = live(desk, "ann", query)
    assert (followed.state, ids(followed.cards)) == ("waiting", GRADED_RANKING)


def test_follow_needs_two_other_queries_with_two_relevant_documents(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    say_all(desk, "ann", query.id, ["moth-illness", "seal-illness", "hare-illness"], 1.0)
    assert live(desk, "ann", query).state == "needs-more"  # its own marks do not count
    teach_that_it_helps(desk, ("cat",))
    say(desk, "cora", write_query(desk, "dog").id, "dog-feeding", 1.0)
    followed = live(desk, "ann", query)
    assert (followed.state, ids(followed.cards)) == ("needs-more", GRADED_RANKING)
    say(desk, "cora", write_query(desk, "dog").id, "trout-feeding", 1.0)
    assert live(desk, "ann", query).state != "needs-more"


def test_follow_leaves_the_ranking_where_feedback_did_not_help_before(desk: Desk) -> None:
    teach_that_it_is_no_help(desk)
    query = write_query(desk, GRADED_TEXT)
    say(desk, "ann", query.id, "moth-illness", 1.0)
    followed = live(desk, "ann", query)
    assert (followed.state, ids(followed.cards)) == ("no-help", GRADED_RANKING)


def test_follow_never_uses_what_others_said_of_the_query(desk: Desk) -> None:
    teach_that_it_helps(desk)
    query = write_query(desk, "moth")
    before = live(desk, "ann", query)
    say_all(desk, "ben", query.id, ["newt-illness", "cat-illness"], 1.0)
    decide(desk, "ben", query.id, "dog-illness", 1.0, note="theirs")
    assert live(desk, "ann", query) == before
    assert before.state == "waiting"
    say(desk, "ann", query.id, "hare-feeding", 1.0)
    mine = live(desk, "ann", query)
    say_all(desk, "ben", query.id, DOC_IDS, 1.0)
    assert live(desk, "ann", query) == mine
    assert "theirs" not in repr(mine)
    assert live(desk, "ben", query).state == "changed"


def test_follow_leaves_undecided_documents_of_other_queries_out(desk: Desk) -> None:
    taught = teach_that_it_helps(desk)
    query = write_query(desk, "moth")
    assert live(desk, "ann", query).state == "waiting"
    for doc_id in ("trout-feeding", "wren-feeding"):
        say(desk, "ben", taught[0], doc_id, 0.0)  # a tie, so only one relevant document is left
    assert live(desk, "ann", query).state == "needs-more"


def test_follow_moves_the_vector_of_the_ranking_that_is_watched(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    query = write_query(judged_desk, GRADED_TEXT)
    followed = live(judged_desk, "ann", query, f"run-{run.id}")
    assert (followed.state, ids(followed.cards)) == ("needs-more", [*GRADED_RANKING[8:], *GRADED_RANKING[:8]])


def test_follow_tries_feedback_on_vectors_that_never_saw_the_labels(judged_desk: Desk) -> None:
    taught = teach_that_it_helps(judged_desk)
    plain = swapped_topics()
    plain = QueryAdapter(plain.views, abs(plain.weight) * 0, plain.bias)
    plain.weight[range(11), range(11)] = 1.0  # the light model as it is
    feeding = light_embedder().encode_documents(["feeding"])[0]  # ranks all relevant ones first without feedback
    run = judged_desk.finish_by_hand(plain, dict.fromkeys(taught, feeding))
    query = write_query(judged_desk, "moth")
    assert live(judged_desk, "ann", query, LIGHT).state == "waiting"
    assert live(judged_desk, "ann", query, f"run-{run.id}").state == "no-help"


def test_follow_refuses_visitors_and_unknown_rankings(desk: Desk) -> None:
    query = write_query(desk, "moth")
    with pytest.raises(NotAllowedError):
        live(desk, None, query)
    with pytest.raises(NotFoundError):
        live(desk, "ann", query, "run-7")


def test_follow_says_so_before_the_embedders_are_there(desk: Desk) -> None:
    query, label_set_id = write_query(desk, "moth"), desk.label_set_id
    desk.workspace.close()
    waiting = Workspace(desk.workspace.settings, lambda spec, device: EmbedderPair(*staged_pair()))
    try:
        with pytest.raises(NotReadyError):
            follow(waiting, found_by(waiting, "ann", label_set_id, query), LIGHT)
    finally:
        waiting.close()


WORDED = [
    Document(f"{animal}-{place}", "", text)
    for animal, told in (("cat", "purrxx"), ("dog", "barkxx"), ("moth", "flitxx"))
    for place, text in enumerate((f"{animal} {told}", f"{told} {animal}", f"{animal} {animal}"))
]
"""Of two words each. The embedders read all documents of an animal as the animal. BM25 reads "cat" as .4 ln(1 + 6.5 /
3.5) = .420 in cat-0 and cat-1, as 2 / 3.5 ln(...) = .600 in cat-2, and "purrxx" as .4 ln 4 = .555; so a query "cat"
finds cat-2 first. Fed back cat-0, of .431 "cat" and .569 "purrxx", a share s makes that cat-1 .420 + .077 s and cat-2
.600 - .341 s: cat-1 is first from .43 on, so .6 is taken."""

WITH_WORDS = LIGHT.with_words()


@pytest.fixture
def worded_desk(data_dir: Path) -> Iterator[Desk]:
    desk = new_desk(data_dir, small_world(documents=WORDED))
    yield desk
    desk.workspace.close()


def teach_that_words_help(desk: Desk) -> list[int]:
    """Judge queries whose relevant documents share a word, which the query does not name."""
    taught = []
    for animal in ("cat", "dog"):
        taught.append(write_query(desk, animal).id)
        say_all(desk, "cora", taught[-1], [f"{animal}-0", f"{animal}-1"], 1.0)
        say(desk, "cora", taught[-1], f"{animal}-2", 0.0)
    return taught


def test_follow_adds_words_of_what_was_marked_as_relevant_where_words_count(worded_desk: Desk) -> None:
    teach_that_words_help(worded_desk)
    query = write_query(worded_desk, "moth")
    waiting = live(worded_desk, "ann", query, WITH_WORDS)
    assert (waiting.state, ids(waiting.cards)[0]) == ("waiting", "moth-2")
    say(worded_desk, "ann", query.id, "moth-0", 1.0)
    followed = live(worded_desk, "ann", query, WITH_WORDS)
    assert (followed.state, sorted(ids(followed.cards)[:2])) == ("changed", ["moth-0", "moth-1"])  # which tie
    moth, flit = math.log(1 + 6.5 / 3.5), math.log(4)
    told = 0.4 * flit / (0.4 * flit + 0.4 * moth)  # the part of the other word in a document
    words = [0.4 * (moth * (1 - 0.6 * told) + flit * 0.6 * told), 2 / 3.5 * moth * (1 - 0.6 * told)]
    mean = (2 * words[0] + words[1]) / 9
    spread = ((2 * words[0] ** 2 + words[1] ** 2) / 9 - mean**2) ** 0.5
    scale = WORD_WEIGHT * (2 / 9) ** 0.5 / spread  # a third of the cosines are 1, the others 0
    expected = {"moth-0": 1 + scale * words[0], "moth-1": 1 + scale * words[0], "moth-2": 1 + scale * words[1]}
    assert {card.document.doc_id: card.score for card in followed.cards[:3]} == pytest.approx(expected, rel=1e-5)
    assert live(worded_desk, "ann", query, LIGHT).state == "no-help"


def test_follow_lets_the_strong_model_order_what_the_words_bring_to_the_top(
    worded_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (era.method.reranking, rankers):
        monkeypatch.setattr(module, "N_REREAD", 2)
    teach_that_words_help(worded_desk)
    query = write_query(worded_desk, "moth")
    key = WITH_WORDS.with_rereading()
    assert "moth-2" in ids(live(worded_desk, "ann", query, key).cards)[:2]
    say(worded_desk, "ann", query.id, "moth-0", 1.0)
    followed = live(worded_desk, "ann", query, key)
    assert (followed.state, sorted(ids(followed.cards)[:2])) == ("changed", ["moth-0", "moth-1"])


def test_follow_tries_words_as_they_weighed_for_queries_held_out(worded_desk: Desk) -> None:
    taught = teach_that_words_help(worded_desk)
    query = write_query(worded_desk, "moth")
    seen = [light_embedder().encode_documents([animal])[0] for animal in ("cat", "dog")]
    for word_weight, state in ((0.25, "waiting"), (0.0, "no-help")):
        adapter = replace(light_only(11), provenance={HELD_OUT_WORD_WEIGHTS: [word_weight] * 2})
        run = worded_desk.finish_by_hand(adapter, dict(zip(taught, seen, strict=True)))
        assert live(worded_desk, "ann", query, f"run-{run.id}+words").state == state


def test_follow_leaves_words_out_where_they_weigh_nothing(worded_desk: Desk) -> None:
    teach_that_words_help(worded_desk)
    run = worded_desk.finish_by_hand(replace(light_only(11), word_weight=0.0))
    query = write_query(worded_desk, "moth")
    assert live(worded_desk, "ann", query, f"run-{run.id}+words").state == "no-help"
