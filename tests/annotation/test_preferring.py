"""Blind preferences: what a person is shown and not told, what an answer is worth, and what the answers say."""

import csv
import io
import json
from dataclasses import replace
from math import comb, sqrt
from pathlib import Path

import pytest

import storage.comparisons
from annotation.comparing import blind
from annotation.comparing.blind import BlindPair, Tally, next_pair, prefer, preferences
from annotation.comparing.export import preferences_csv
from annotation.comparing.view import ComparisonView, read_view
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.queries import name_of_text
from annotation.ranking.rankers import ALIGNED, LIGHT, RankingKey
from annotation.transfer.run_imports import import_run
from annotation.ui.payloads.compare_answers import blind_panel, preferences_panel, preferred_panel
from storage.records import NewPreference, Preferred, ShownLeft
from tests.worlds.desk import Desk, as_json, swapped_topics
from tests.worlds.words import GRADED_RANKING, GRADED_TEXT

SWAPPED_RANKING = [*GRADED_RANKING[8:], *GRADED_RANKING[:8]]  # illness first
LABELS = ["light model alone", "after your marks (run 1), vectors alone"]


@pytest.fixture
def view(judged_desk: Desk) -> ComparisonView:
    """The light model against a run that exchanges the topics; they differ on queries that name a topic."""
    run = judged_desk.finish_by_hand(swapped_topics())
    return read_view(judged_desk.workspace, judged_desk.page, f"light~run-{run.id}")


def shown(desk: Desk, view: ComparisonView, author: str = "ann", skip: tuple[int, ...] = ()) -> BlindPair:
    pair = next_pair(desk.workspace, author, view, skip)
    assert pair is not None
    return pair


def ids(pair: BlindPair) -> tuple[list[str], list[str]]:
    return [each.doc_id for each in pair.left], [each.doc_id for each in pair.right]


def test_next_pair_shows_both_first_tens_and_passes_over_equal_ones(judged_desk: Desk, view: ComparisonView) -> None:
    query_id = judged_desk.ask(GRADED_TEXT)
    pair = shown(judged_desk, view)
    assert pair.query.id == query_id
    assert sorted(ids(pair)) == sorted([GRADED_RANKING[:10], SWAPPED_RANKING[:10]])
    assert pair.n_done == 0
    assert pair.n_left == 13 - pair.n_equal  # twelve imported queries name no topic: both rank them alike
    assert 0 <= pair.n_equal <= 12


def test_queries_that_a_run_brought_in_never_ranked_are_not_counted(judged_desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "theirs.run"
    path.write_text("cat-vet Q0 moth-feeding 1 2 x\ndog-vet Q0 moth-feeding 1 2 x\n")
    desk = judged_desk
    key = import_run(desk.workspace, "ann", desk.collection.id, desk.label_set_id, path).ranker.key
    assert shown(desk, read_view(desk.workspace, desk.page, f"light~{key}", None)).n_left == 2


def test_nothing_that_the_page_gets_tells_the_sides_apart(judged_desk: Desk, view: ComparisonView) -> None:
    judged_desk.ask(GRADED_TEXT)
    payload = as_json(blind_panel(shown(judged_desk, view)))
    numbers = {"query_id", "n_left_to_do", "n_done", "n_equal"}
    assert payload.keys() == {"text", "instruction", "left", "right", "token", *numbers}
    assert {key for row in payload["left"] + payload["right"] for key in row} == {"doc_id", "title", "text"}
    assert not any(word in json.dumps(payload) for word in ("run-", "light", "score"))


def test_sides_are_exchanged_at_random_and_stay_so_for_one_person(judged_desk: Desk, view: ComparisonView) -> None:
    judged_desk.ask(GRADED_TEXT)
    lists = {name: ids(shown(judged_desk, view, name)) for name in (f"person {n}" for n in range(40))}
    assert {tuple(left) for left, _ in lists.values()} == {tuple(GRADED_RANKING[:10]), tuple(SWAPPED_RANKING[:10])}
    assert ids(shown(judged_desk, view, "person 7")) == lists["person 7"]


def test_order_and_token_are_others_in_another_process(
    judged_desk: Desk, view: ComparisonView, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged_desk.ask(GRADED_TEXT)
    names = [f"person {n}" for n in range(40)]
    before = [shown(judged_desk, view, name) for name in names]
    monkeypatch.setattr(blind, "_KEY", b"of another process")
    after = [shown(judged_desk, view, name) for name in names]
    assert [ids(pair) for pair in before] != [ids(pair) for pair in after]
    with pytest.raises(InvalidInputError, match="started anew"):
        prefer(judged_desk.workspace, names[0], view, before[0].token, "left")


def test_people_get_the_queries_in_orders_of_their_own(judged_desk: Desk, view: ComparisonView) -> None:
    for extra in ("", " cat", " dog", " seal"):
        judged_desk.ask(GRADED_TEXT + extra)
    assert len({shown(judged_desk, view, f"person {n}").query.id for n in range(30)}) == 4


def test_prefer_stores_what_was_chosen_without_telling_it_and_moves_on(judged_desk: Desk, view: ComparisonView) -> None:
    first, second = judged_desk.ask(GRADED_TEXT), judged_desk.ask(GRADED_TEXT + " cat")
    pair = shown(judged_desk, view)
    answered = prefer(judged_desk.workspace, "ann", view, pair.token, "left", 4.5)
    is_light_left = ids(pair)[0][0].endswith("feeding")  # the run puts illness first
    assert answered.preferred is (Preferred.FIRST if is_light_left else Preferred.SECOND)
    assert answered.shown_left is (ShownLeft.FIRST if is_light_left else ShownLeft.SECOND)
    assert (answered.query_id, answered.seconds) == (pair.query.id, 4.5)
    told = as_json(preferred_panel(answered))
    assert told.keys() == {"query_id", "saved"}

    following = shown(judged_desk, view)
    assert {pair.query.id, following.query.id} == {first, second}
    assert following.n_done == 1
    assert next_pair(judged_desk.workspace, "ann", view, [following.query.id]) is None
    assert shown(judged_desk, view, "ben").n_done == 0
    prefer(judged_desk.workspace, "ann", view, following.token, "tie")
    assert next_pair(judged_desk.workspace, "ann", view) is None


def test_blind_lists_are_held_out_whatever_the_screen_is_switched_to(trained_desk: Desk) -> None:
    ids_of = trained_desk.collection.id, trained_desk.label_set_id
    honest = ComparisonView(*ids_of, (LIGHT, RankingKey("run-1")), None)
    flattering = replace(honest, is_in_sample=True)
    pairs = [shown(trained_desk, each) for each in (honest, flattering)]
    assert [ids(pair) for pair in pairs] == [ids(pairs[0])] * 2
    assert pairs[0].token == pairs[1].token


def test_next_pair_comes_back_to_what_was_put_off(judged_desk: Desk, view: ComparisonView) -> None:
    judged_desk.ask(GRADED_TEXT)
    judged_desk.ask(GRADED_TEXT + " cat")
    put_off = shown(judged_desk, view)
    other = shown(judged_desk, view, skip=(put_off.query.id,))
    assert other.query.id != put_off.query.id
    prefer(judged_desk.workspace, "ann", view, other.token, "neither")
    assert shown(judged_desk, view).query.id == put_off.query.id


def test_prefer_refuses_what_was_not_laid_out_for_this_person_and_comparison(
    judged_desk: Desk, view: ComparisonView
) -> None:
    judged_desk.ask(GRADED_TEXT)
    workspace, token = judged_desk.workspace, shown(judged_desk, view).token
    number, _, signature = token.partition(".")
    other_query = f"{int(number) - 1}.{signature}"
    for wrong in ("", "x", number, f"{number}.{'0' * 64}", other_query, "²." + signature, "\ud800." + signature):
        with pytest.raises(InvalidInputError, match="Look at the next pair"):
            prefer(workspace, "ann", view, wrong, "left")
    with pytest.raises(InvalidInputError):
        prefer(workspace, "ben", view, token, "left")
    with pytest.raises(InvalidInputError):
        prefer(workspace, "ann", replace(view, sides=(LIGHT, ALIGNED)), token, "left")
    with pytest.raises(InvalidInputError, match="left list"):
        prefer(workspace, "ann", view, token, "first")
    with pytest.raises(InvalidInputError, match="seconds"):
        prefer(workspace, "ann", view, token, "left", float("nan"))
    for call in (lambda: next_pair(workspace, None, view), lambda: prefer(workspace, None, view, token, "left")):
        with pytest.raises(NotAllowedError):
            call()
    assert preferences(workspace, view).tally.n == 0


def answer(desk: Desk, view: ComparisonView, author: str, query_id: int, preferred: Preferred) -> None:
    """Store an answer as it stands in the log, the light model being the first of the pair."""
    new = NewPreference(desk.label_set_id, query_id, author, view.sides[0], view.sides[1], preferred, ShownLeft.FIRST)
    with desk.workspace.writing() as session:
        storage.comparisons.append_preference(session, new)


def test_preferences_are_the_share_of_queries_that_went_to_the_second_side(
    judged_desk: Desk, view: ComparisonView
) -> None:
    queries = [judged_desk.ask(f"{GRADED_TEXT} {n}") for n in range(6)]
    answers = [Preferred.SECOND] * 4 + [Preferred.FIRST, Preferred.TIE]
    for query_id, preferred in zip(queries, answers, strict=True):
        answer(judged_desk, view, "ann", query_id, preferred)
    for query_id, preferred in zip(queries, [Preferred.SECOND] * 3 + [Preferred.FIRST] * 2, strict=False):
        answer(judged_desk, view, "ben", query_id, preferred)
    answer(judged_desk, view, "ben", queries[0], Preferred.NEITHER)  # ben thinks again
    answer(judged_desk, view, "ben", queries[5], Preferred.SECOND)
    found = preferences(judged_desk.workspace, view)
    assert found.tally == Tally(first=3, second=7, tie=1, neither=1)
    assert dict(found.by_person) == {"ann": Tally(1, 4, 1, 0), "ben": Tally(2, 3, 0, 1)}

    assert found.by_query == Tally(first=1, second=4, tie=1, neither=0)  # on query 3 ann and ben contradict each other
    share, n, z = 4 / 6, 6, 1.959964
    middle, half = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    assert (found.share.share, found.share.n) == (share, 6)
    assert found.share.low == pytest.approx((middle - half) / (1 + z * z / n), abs=1e-6)
    assert found.share.high == pytest.approx((middle + half) / (1 + z * z / n), abs=1e-6)
    p_value = 2 * sum(comb(5, k) for k in (4, 5)) / 2**5
    assert found.share.p_value == pytest.approx(p_value)
    panel = as_json(preferences_panel(found, LABELS, "the table"))
    assert panel["words"] == (
        "Of 6 queries, 4 went to “after your marks (run 1), vectors alone”, 1 to “light model alone”, 1 to neither. "
        "With only 5 queries nothing can be concluded (p = 0.375). "
        "Each query counts once, however many of the 2 people answered it. "
        "1 answer said that both were alike and 1 answer said that neither was any good."
    )
    assert (panel["n"], panel["first"], panel["second"], panel["csv"]) == (12, 3, 7, "the table")

    exchanged = preferences(judged_desk.workspace, replace(view, sides=view.sides[::-1]))
    assert exchanged.tally == Tally(first=7, second=3, tie=1, neither=1)
    words = preferences_panel(exchanged, LABELS[::-1], "")["words"]
    assert words.startswith(
        "Of 6 queries, 4 went to “after your marks (run 1), vectors alone”, 1 to “light model alone”, 1 to neither."
    )


def test_preferences_say_when_it_is_no_chance_and_when_there_are_none(judged_desk: Desk, view: ComparisonView) -> None:
    assert preferences_panel(preferences(judged_desk.workspace, view), LABELS, "")["words"].startswith("No one")
    query_id = judged_desk.ask(GRADED_TEXT)
    answer(judged_desk, view, "ann", query_id, Preferred.TIE)
    words = preferences_panel(preferences(judged_desk.workspace, view), LABELS, "")["words"]
    assert words == "No query was decided for either ranking. 1 answer said that both were alike."
    for n in range(20):  # twenty people see the same two lists: that is one query
        answer(judged_desk, view, f"person {n}", query_id, Preferred.FIRST)
    words = preferences_panel(preferences(judged_desk.workspace, view), LABELS, "")["words"]
    assert words.startswith(
        "Of 1 query, 1 went to “light model alone”, 0 to “after your marks (run 1), vectors alone”, 0 to neither."
    )
    assert "With only 1 query nothing can be concluded (p = 1.000)" in words
    for n in range(11):
        answer(judged_desk, view, "ann", judged_desk.ask(f"{GRADED_TEXT} {n}"), Preferred.FIRST)
    words = preferences_panel(preferences(judged_desk.workspace, view), LABELS, "")["words"]
    assert words.startswith("Of 12 queries, 12 went to “light model alone”")
    assert "unlikely to be chance (p < 0.001)" in words


def test_preferences_csv_says_who_preferred_what_and_where_it_stood(judged_desk: Desk, view: ComparisonView) -> None:
    query_id = judged_desk.ask("=cmd feeding", "+read")
    answer(judged_desk, view, "@ann", query_id, Preferred.SECOND)
    answer(judged_desk, view, "ben", query_id, Preferred.NEITHER)
    text = preferences_csv(judged_desk.workspace, view, preferences(judged_desk.workspace, view))
    header, ann, ben = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    assert header == [
        "query id", "query", "instruction", "first", "second", "preferred", "shown left", "person", "at",
    ]  # fmt: skip
    name = name_of_text("=cmd feeding", "+read")
    assert ann[:8] == [name, "'\u2060=cmd feeding", "'\u2060+read", *LABELS, LABELS[1], LABELS[0], "'\u2060@ann"]
    assert ben[5:8] == ["neither", LABELS[0], "ben"]
