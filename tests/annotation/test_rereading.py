"""What the strong model reads for a ranking: said before, read where it is asked for, and read once.

Of the 16 documents the alignment texts are 8, so that the strong model has not read the others.
"""

from dataclasses import replace
from typing import Any, NoReturn

import pytest

import era.method.reranking
from annotation import workspace
from annotation.comparing import rank
from annotation.comparing.measure import compare_all
from annotation.comparing.rank import rank_queries, unread_of_comparison
from annotation.comparing.view import ComparisonView, read_view, share
from annotation.errors import NotAllowedError, NotFoundError, NotReadyError
from annotation.judging.assist import follow
from annotation.judging.queries import run_query
from annotation.ranking import rankers
from annotation.ranking.rankers import (
    LIGHT,
    NOTHING_UNREAD,
    RankingKey,
    labels_of,
    list_rankers,
    read_some,
    ready_key,
    unread_of_query,
)
from annotation.retrieval.open_collection import OpenCollection
from annotation.ui.message import Message
from annotation.ui.tabs.compare import CompareTab
from annotation.ui.tabs.judge import JudgeTab
from era.encoders.spec import EmbedderSpec
from era.method.alignment import AlignmentTexts
from era.progress import no_progress
from tests.worlds.desk import Desk, swapped_topics
from tests.worlds.judging import found_by
from tests.worlds.words import DOCUMENTS, GRADED_RANKING, GRADED_TEXT, light_embedder

REREAD = LIGHT.with_rereading()
READ_BEFORE = [document.doc_id for document in DOCUMENTS[:8]]  # cat, dog, trout and wren


def library_of(desk: Desk) -> OpenCollection:
    """Return the collection, of which the strong model has read the first half."""
    opened = desk.workspace.open(desk.collection.id)
    texts = opened.alignment_texts()
    rows = [list(texts.doc_ids).index(doc_id) for doc_id in READ_BEFORE]
    opened._texts = AlignmentTexts(READ_BEFORE, texts.strong[rows], texts.light[rows])
    return opened


def read_all(desk: Desk, query_id: int, key: RankingKey = REREAD) -> None:
    unread = unread_of_query(desk.workspace, desk.query(query_id), key)
    read_some(desk.workspace, "ann", desk.collection.id, unread)


def view_of(desk: Desk, *sides: str, query_id: int | None = None) -> ComparisonView:
    return ComparisonView(desk.collection.id, desk.label_set_id, tuple(map(RankingKey, sides)), query_id)


def test_what_is_unread_on_top_is_told_in_the_order_of_the_ranking_and_not_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rankers, "N_REREAD", 10)
    library_of(desk).strong_reading.seconds_per_text = 0.25
    query = desk.query(desk.ask(GRADED_TEXT))
    unread = unread_of_query(desk.workspace, query, REREAD)
    expected = [doc_id for doc_id in GRADED_RANKING[:10] if doc_id not in READ_BEFORE]
    assert (list(unread.doc_ids), unread.n_first, unread.costs) == (expected, len(expected), None)
    assert unread.seconds == pytest.approx(0.25 * len(expected))
    assert not {document.content for document in DOCUMENTS} & set(desk.strong.texts_read)


def test_nothing_is_searched_to_know_what_is_unread_where_everything_was_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = desk.query(desk.ask(GRADED_TEXT))
    assert desk.workspace.open(desk.collection.id).has_read_all  # so few documents are all alignment texts

    def search(*asked: object) -> NoReturn:
        raise AssertionError(asked)

    monkeypatch.setattr(rankers, "retriever", search)
    monkeypatch.setattr(rank, "rank_queries", search)
    assert unread_of_query(desk.workspace, query, REREAD) == NOTHING_UNREAD
    view = read_view(desk.workspace, desk.page, f"{LIGHT}~{REREAD}", query.id)
    assert unread_of_comparison(desk.workspace, view) == NOTHING_UNREAD
    assert ready_key(desk.workspace, query, REREAD) == REREAD


def test_a_ranking_never_reads_by_itself(desk: Desk) -> None:
    library_of(desk)
    query = desk.query(desk.ask(GRADED_TEXT))
    assert ready_key(desk.workspace, query, REREAD) == LIGHT
    with pytest.raises(NotReadyError, match="has not read all documents on top"):
        run_query(desk.workspace, "ann", query, REREAD)
    read_all(desk, query.id)
    assert ready_key(desk.workspace, query, REREAD) == REREAD
    assert len(run_query(desk.workspace, "ann", query, REREAD).ranking) == 10
    assert ready_key(desk.workspace, query, LIGHT) == LIGHT


def test_a_document_is_read_once(desk: Desk) -> None:
    library_of(desk)
    query_id = desk.ask(GRADED_TEXT)
    read_all(desk, query_id)
    read = [text for text in desk.strong.texts_read if text in {document.content for document in DOCUMENTS}]
    assert sorted(read) == sorted(document.content for document in DOCUMENTS[8:])
    other = desk.query(desk.ask("moth"))
    assert not unread_of_query(desk.workspace, other, REREAD).doc_ids
    run_query(desk.workspace, "ann", other, REREAD)
    again = [text for text in desk.strong.texts_read if text in {document.content for document in DOCUMENTS}]
    assert again == read


def test_what_the_strong_model_read_is_what_documents_are_ordered_by(desk: Desk) -> None:
    opened = library_of(desk)
    query_id = desk.ask("cat", "vet feeding")  # feeding is in the instruction, which the light model never sees
    read_all(desk, query_id)
    query = desk.query(query_id)
    plain = dict(run_query(desk.workspace, "ann", query, LIGHT, depth=16).ranking)
    assert plain["cat-feeding"] == pytest.approx(plain["cat-illness"])
    reread = [doc_id for doc_id, _ in run_query(desk.workspace, "ann", query, REREAD, depth=16).ranking]
    assert reread[:2] == ["cat-feeding", "cat-illness"]
    assert reread.index("moth-feeding") < reread.index("moth-illness")
    assert opened.strong_documents(["cat-feeding"])[0].all()


def test_reading_stops_after_a_while_so_that_the_page_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    library_of(desk)
    query = desk.query(desk.ask(GRADED_TEXT))
    monkeypatch.setattr(rankers, "_AT_ONCE", 3)
    monkeypatch.setattr(rankers, "_STEP_S", 0.0)
    left = []
    for _ in range(3):
        unread = unread_of_query(desk.workspace, query, REREAD)
        left.append(len(unread.doc_ids))
        read_some(desk.workspace, "ann", desk.collection.id, unread)
    assert left == [8, 5, 2]
    assert not unread_of_query(desk.workspace, query, REREAD).doc_ids


def test_visitors_let_nothing_be_read(desk: Desk) -> None:
    library_of(desk)
    query = desk.query(desk.ask(GRADED_TEXT))
    with pytest.raises(NotAllowedError, match="Sign in to let the strong model read"):
        read_some(desk.workspace, None, desk.collection.id, unread_of_query(desk.workspace, query, REREAD))


def test_what_cannot_be_kept_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    library_of(desk)
    query = desk.query(desk.ask(GRADED_TEXT))
    unread = unread_of_query(desk.workspace, query, REREAD)
    monkeypatch.setattr(desk.strong, "encode_documents", lambda texts: None)
    with pytest.raises(NotReadyError, match="Make room on the disk"):
        read_some(desk.workspace, "ann", desk.collection.id, unread)


def test_a_complete_reading_for_comparing_leaves_nothing_unread(desk: Desk) -> None:
    opened = library_of(desk)
    opened.strong_reading.read(no_progress)
    desk.strong._documents.clear()  # the embedder itself has kept nothing
    is_known, vectors = opened.strong_documents(["moth-illness", "cat-feeding"])
    assert is_known.all()
    assert (vectors == opened.strong_reading.index().vectors(["moth-illness", "cat-feeding"])).all()


@pytest.mark.parametrize("key", ["strong+reread", "bm25+reread", "bm25+words+reread", "snap-abc-0+reread"])
def test_what_does_not_search_the_light_index_is_not_reread(desk: Desk, key: str) -> None:
    with pytest.raises(NotFoundError, match="no ranking named"):
        rankers.retriever(desk.workspace, desk.workspace.open(desk.collection.id), RankingKey(key))


def test_labels_say_that_the_top_is_read(desk: Desk) -> None:
    offered = list_rankers(desk.workspace, desk.collection.id, is_comparing=True)
    assert labels_of(offered, [LIGHT, REREAD, RankingKey("run-9+reread")]) == {
        LIGHT: "light model alone",
        REREAD: "light model alone, top 50 read by the strong model",
        "run-9+reread": "a training run, top 50 read by the strong model",
    }
    assert not [each.key for each in offered if "reread" in each.key]  # a switch beside each, not a list twice as long


def paid(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the strong model be an endpoint of a dollar per thousand tokens."""
    spec = desk.workspace.spec_of(desk.collection.id)
    endpoint = EmbedderSpec("openai", "paid", price_per_million_tokens=1000.0)
    monkeypatch.setattr(workspace.Workspace, "spec_of", lambda *_: replace(spec, strong=endpoint))


def test_an_endpoint_says_what_it_is_sent_and_costs_before(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    library_of(desk)
    paid(desk, monkeypatch)
    unread = unread_of_query(desk.workspace, desk.query(desk.ask(GRADED_TEXT)), REREAD)
    n_tokens = sum(-(-len(document.content) // 4) for document in DOCUMENTS[8:])
    assert unread.seconds is None
    assert unread.costs is not None
    assert unread.costs.n_tokens == pytest.approx(n_tokens, rel=0.2)
    assert unread.costs.dollars == pytest.approx(unread.costs.n_tokens / 1000, rel=0.2)


def marked(desk: Desk) -> Any:
    query = desk.query(desk.ask(GRADED_TEXT))
    desk.mark(query.id, "newt-illness", 1.0, 1)
    return query


def test_following_marks_reads_what_they_bring_to_the_top(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    library_of(desk)
    query = marked(desk)
    followed = follow(desk.workspace, found_by(desk.workspace, "ann", desk.label_set_id, query), REREAD)
    assert len(followed.cards) == 16
    assert {document.content for document in DOCUMENTS[8:]} <= set(desk.strong.texts_read)


def test_following_marks_sends_nothing_to_an_endpoint(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    library_of(desk)
    paid(desk, monkeypatch)
    query = marked(desk)
    with pytest.raises(NotReadyError):
        follow(desk.workspace, found_by(desk.workspace, "ann", desk.label_set_id, query), REREAD)
    assert not {document.content for document in DOCUMENTS} & set(desk.strong.texts_read)


def test_a_comparison_tells_what_is_unread_for_all_judged_queries_the_open_one_first(
    judged_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rankers, "N_REREAD", 2)
    monkeypatch.setattr(rank, "N_REREAD", 2)
    library_of(judged_desk)
    open_query = judged_desk.ask("moth")
    view = view_of(judged_desk, LIGHT, REREAD, query_id=open_query)
    unread = unread_of_comparison(judged_desk.workspace, view)
    assert set(unread.doc_ids[:2]) == {"moth-feeding", "moth-illness"}
    assert unread.n_first == 2
    assert {"newt-feeding", "newt-illness", "hare-feeding", "hare-illness"} == set(unread.doc_ids[2:])
    assert not unread_of_comparison(judged_desk.workspace, view_of(judged_desk, LIGHT, "bm25")).doc_ids


def test_a_comparison_is_measured_once_everything_is_read(judged_desk: Desk) -> None:
    library_of(judged_desk)
    view = view_of(judged_desk, LIGHT, REREAD)
    with pytest.raises(NotReadyError):
        compare_all(judged_desk.workspace, view)
    read_some(
        judged_desk.workspace, "ann", judged_desk.collection.id, unread_of_comparison(judged_desk.workspace, view)
    )
    overall = compare_all(judged_desk.workspace, view)
    assert overall is not None
    assert len(overall.queries) == 12
    assert share(judged_desk.workspace, "ann", view)


def test_the_compare_tab_shows_what_can_be_ranked_by_now(judged_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rankers, "_AT_ONCE", 8)
    monkeypatch.setattr(rankers, "_STEP_S", 0.0)
    library_of(judged_desk)
    tab = CompareTab(judged_desk.workspace)
    asked: dict[str, Any] = {"sides": f"light~{REREAD}", "query": str(judged_desk.query_id("hare-vet"))}
    *_, shown = tab.show(judged_desk.page, "ann", Message(asked))
    assert (shown["one"], shown["overall"], shown["error"]) == (None, None, "")
    assert (shown["unread"]["n"], shown["unread"]["is_paid"]) == (8, False)
    message = Message({**asked, "query_id": judged_desk.query_id("hare-vet"), "sides": ["light", REREAD]})
    with pytest.raises(NotAllowedError):
        tab._answers._reread(judged_desk.page, None, message)
    answer = tab._answers._reread(judged_desk.page, "ann", message)
    assert (answer["sides"], answer["n"], answer["n_first"]) == (["light", REREAD], 0, 0)
    *_, shown = tab.show(judged_desk.page, "ann", Message(asked))
    assert shown["one"]["sides"][1]["label"] == shown["labels"][REREAD] == "light model alone" + rankers.REREAD_LABEL
    assert (shown["overall"]["extremes"] is not None, shown["unread"]["n"]) == (True, 0)


def test_the_judge_tab_shows_the_ranking_as_it_was_until_everything_is_read(judged_desk: Desk) -> None:
    library_of(judged_desk)
    tab = JudgeTab(judged_desk.workspace)
    query_id = judged_desk.query_id("hare-vet")
    address = Message({"query": str(query_id), "by": REREAD})
    shown = tab.show(judged_desk.page, "ann", address)
    assert (shown["ranker"], shown["error"], len(shown["cards"])) == (LIGHT, "", 10)
    price = tab._answers._reread(judged_desk.page, "ann", Message({"query_id": query_id, "ranker": LIGHT}))
    assert (price["ranker"], price["n"]) == (LIGHT, 8)
    sure = Message({"query_id": query_id, "ranker": LIGHT, "is_sure": True})
    assert tab._answers._reread(judged_desk.page, "ann", sure)["n"] == 0
    shown = tab.show(judged_desk.page, "ann", address)
    assert (shown["ranker"], shown["url"]["by"]) == (REREAD, REREAD)
    assert LIGHT in [each["key"] for each in shown["settings"]["rankers"]]


def test_a_query_that_a_run_learned_from_is_reread_from_its_held_out_ranking(
    judged_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (era.method.reranking, rankers, rank):
        monkeypatch.setattr(module, "N_REREAD", 2)
    opened = library_of(judged_desk)
    learned = judged_desk.query_id("cat-owner")
    moth = light_embedder().encode_documents(["moth"])[0]
    run = judged_desk.finish_by_hand(swapped_topics(), {learned: moth})
    key = f"run-{run.id}+reread"
    view = view_of(judged_desk, LIGHT, key, query_id=learned)
    unread = unread_of_comparison(judged_desk.workspace, view)
    assert set(unread.doc_ids[: unread.n_first]) == {"moth-feeding", "moth-illness"}  # not what the run itself finds
    read_some(judged_desk.workspace, "ann", judged_desk.collection.id, unread)
    query = judged_desk.query(learned)
    [ranked] = rank_queries(judged_desk.workspace, opened, RankingKey(key), [query]).values()
    assert (ranked.origin, {doc.doc_id for doc in ranked.ranking[:2]}) == ("held_out", {"moth-feeding", "moth-illness"})
    deployed = {doc_id for doc_id, _ in run_query(judged_desk.workspace, "ann", query, RankingKey(key)).ranking[:2]}
    assert deployed == {"cat-feeding", "cat-illness"}


def test_a_reread_ranking_is_kept_apart_from_the_one_it_orders(judged_desk: Desk) -> None:
    opened = library_of(judged_desk)
    query = judged_desk.query(judged_desk.ask("cat", "vet feeding"))
    read_all(judged_desk, query.id)
    for _ in range(2):  # searched for, then found again
        [plain] = rank_queries(judged_desk.workspace, opened, LIGHT, [query]).values()
        [reread] = rank_queries(judged_desk.workspace, opened, REREAD, [query]).values()
        [with_words] = rank_queries(
            judged_desk.workspace, opened, RankingKey(f"{LIGHT}+words+reread"), [query]
        ).values()
        scores = [[doc.score for doc in each.ranking[:2]] for each in (plain, reread, with_words)]
        assert scores[0] != scores[1] != scores[2] != scores[0]
        assert {doc.doc_id for doc in plain.ranking} == {doc.doc_id for doc in reread.ranking}
