"""What an address asks to compare, and the short links that lead to it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import storage.comparisons
import storage.training_runs
from annotation.collections.page import open_page
from annotation.collections.store_whole import store
from annotation.comparing.view import ComparisonView, open_shared, read_view, share, slug_name, to_json, without_missing
from annotation.errors import InvalidInputError, NotAllowedError, NotFoundError
from annotation.judging.setup import FOUR_GRADES, DeskSetup, set_up
from annotation.ranking.rankers import LIGHT, RankingKey
from era.evaluation.measures import COMPARISON_MEASURES
from storage.records import NewSnapshot
from tests.worlds.desk import Desk, new_desk, small_world, swapped_topics

LOOK_ALIKES = set("0O1lIio")


def test_read_view_takes_sides_from_an_address_and_the_usual_measures(desk: Desk) -> None:
    view = read_view(desk.workspace, desk.page, "light~run-7+words", 3)
    assert view == ComparisonView(
        desk.collection.id, desk.label_set_id, (LIGHT, RankingKey("run-7+words")), 3, COMPARISON_MEASURES, None, False
    )


def test_read_view_takes_measures_by_the_names_of_the_field(desk: Desk) -> None:
    view = read_view(desk.workspace, desk.page, ["bm25", "light", "aligned"], measures="ndcg@5, P@3 p@3")
    assert view.measures == ("nDCG@5", "P@3")
    assert view.sides == ("bm25", "light", "aligned")


@pytest.mark.parametrize("sides", ["light", "", "light~light", "a~b~c~d", "light~", "light~" + "x" * 81])
def test_read_view_refuses_what_are_not_two_or_three_rankings(desk: Desk, sides: str) -> None:
    with pytest.raises(InvalidInputError, match="two or three different rankings"):
        read_view(desk.workspace, desk.page, sides)


def test_read_view_names_the_measure_that_is_unknown(desk: Desk) -> None:
    with pytest.raises(InvalidInputError, match="Quality@10"):
        read_view(desk.workspace, desk.page, "light~bm25", measures="nDCG@10, Quality@10")


@pytest.mark.parametrize("threshold", [0, 2, "nan", "high", -1.0])
def test_read_view_refuses_a_grade_that_is_none_of_the_desks(desk: Desk, threshold: float | str) -> None:
    with pytest.raises(InvalidInputError, match="The grades here are 1"):
        read_view(desk.workspace, desk.page, "light~bm25", threshold=threshold)


def test_read_view_takes_a_grade_of_the_desk(desk: Desk) -> None:
    set_up(desk.workspace, "ann", desk.collection.id, DeskSetup(grade_names=FOUR_GRADES))
    assert read_view(desk.workspace, desk.page, "light~bm25", threshold="3").threshold == 3.0
    assert read_view(desk.workspace, desk.page, "light~bm25", threshold="").threshold is None
    with pytest.raises(InvalidInputError, match=r"grade 0\.5 on"):
        read_view(desk.workspace, desk.page, "light~bm25", threshold=0.5)


def test_read_view_takes_a_grade_that_an_import_brought(data_dir: Path) -> None:
    desk = new_desk(data_dir, small_world(qrels={"cat-vet": {"cat-illness": 0.5}}))
    assert read_view(desk.workspace, desk.page, "light~bm25", threshold=0.5).threshold == 0.5
    desk.workspace.close()


def test_share_gives_one_slug_for_one_view_and_another_for_another(desk: Desk) -> None:
    view = read_view(desk.workspace, desk.page, "light~bm25", desk.query_id("cat-vet"), "nDCG@10")
    other = read_view(desk.workspace, desk.page, "bm25~light", desk.query_id("cat-vet"), "nDCG@10")
    slug = share(desk.workspace, "ann", view)
    assert len(slug) == 7
    assert slug.isalnum()
    assert not set(slug) & LOOK_ALIKES
    assert share(desk.workspace, "ann", view) == slug
    assert share(desk.workspace, "ann", other) != slug


def test_open_shared_returns_the_view_after_a_restart(desk: Desk) -> None:
    query_id = desk.query_id("dog-owner")
    view = read_view(desk.workspace, desk.page, "light~bm25", query_id, "nDCG@10 R@5", 1, True)
    slug = share(desk.workspace, "ann", view)
    again = desk.again()
    assert open_shared(again.workspace, slug) == {
        "collection": desk.collection.id,
        "labels": again.label_set_id,
        "sides": ["light", "bm25"],
        "query": query_id,
        "measures": ["nDCG@10", "R@5"],
        "threshold": 1.0,
        "in_sample": True,
    }
    assert open_shared(again.workspace, slug[:-1] + "0") is None
    assert open_shared(again.workspace, "") is None
    again.workspace.close()


def test_share_takes_a_longer_slug_where_the_short_one_leads_elsewhere(desk: Desk) -> None:
    view = read_view(desk.workspace, desk.page, "light~bm25")
    other = read_view(desk.workspace, desk.page, "light~aligned")
    short = slug_name(json.dumps(to_json(view), sort_keys=True))[:7]
    with desk.workspace.writing() as session:
        storage.comparisons.keep_view(session, short, to_json(other))
    slug = share(desk.workspace, "ann", view)
    assert len(slug) == 8
    assert slug.startswith(short)
    assert open_shared(desk.workspace, slug) == to_json(view)
    assert open_shared(desk.workspace, short) == to_json(other)


def test_share_is_for_who_is_signed_in_and_for_rankings_that_are_there(desk: Desk) -> None:
    view = read_view(desk.workspace, desk.page, f"light~run-{desk_with_run(desk)}+words")
    with pytest.raises(NotAllowedError, match="Sign in to make a short link"):
        share(desk.workspace, None, view)
    names = {
        "run-77": "A training run", "snap-abc-0": "A kept ranking", "strong": "“strong”", "nonsense": "“nonsense”"
    }  # fmt: skip
    for gone, name in names.items():
        with pytest.raises(NotFoundError, match=rf"^{name} is not there \(any more\)"):
            share(desk.workspace, "ann", replace(view, sides=(LIGHT, RankingKey(gone))))
    slug = slug_name(json.dumps(to_json(view), sort_keys=True))[:7]
    assert open_shared(desk.workspace, slug) is None
    assert share(desk.workspace, "ann", view) == slug


def test_read_view_refuses_what_another_collection_learned_or_kept(desk: Desk) -> None:
    run, slug = desk_with_run(desk), kept(desk)
    other = open_page(
        desk.workspace, store(desk.workspace, small_world("other"), author="ann", labels="", is_demo=False).id, None
    )
    for key, name in ((f"run-{run}", "Run 1"), (f"run-{run}+words", "Run 1"), (f"snap-{slug}-1", "“.+”")):
        assert read_view(desk.workspace, desk.page, ["light", key]).sides == ("light", key)
        with pytest.raises(NotFoundError, match=f"^{name} belongs to another collection"):
            read_view(desk.workspace, other, ["light", key])


def test_without_missing_leaves_a_view_alone_whose_sides_are_there(desk: Desk) -> None:
    run = desk_with_run(desk)
    view = read_view(desk.workspace, desk.page, f"bm25~run-{run}~run-{run}+words")
    assert without_missing(desk.workspace, view) == (view, "")


def test_without_missing_says_which_run_and_which_snapshot_are_gone(desk: Desk) -> None:
    run, slug = desk_with_run(desk), kept(desk)
    view = read_view(desk.workspace, desk.page, f"bm25~run-{run}~snap-{slug}-1")
    assert without_missing(desk.workspace, view) == (view, "")
    with desk.workspace.writing() as session:
        storage.training_runs.delete(session, run)
    left, remark = without_missing(desk.workspace, view)
    assert left.sides == ("bm25", f"snap-{slug}-1")
    assert remark.startswith("A training run is not there any more; ")
    assert without_missing(desk.workspace, read_view(desk.workspace, desk.page, f"bm25~snap-{slug}-2"))[1]


def test_without_missing_fills_up_to_two_sides(desk: Desk) -> None:
    view = read_view(desk.workspace, desk.page, "run-77~snap-abc-0")
    left, remark = without_missing(desk.workspace, view)
    assert left.sides == ("light", "aligned")
    assert (
        remark == "A training run and a kept ranking are not there any more; what is left of this comparison is shown."
    )
    view = read_view(desk.workspace, desk.page, "light~run-77")
    assert without_missing(desk.workspace, view)[0].sides == ("aligned", "light")


def desk_with_run(desk: Desk) -> int:
    """Return a training run that has finished."""
    desk.mark(desk.query_id("cat-vet"), "cat-illness", 1.0, 1)
    return desk.finish_by_hand(swapped_topics()).id


def kept(desk: Desk) -> str:
    """Return the slug of a snapshot with two sides and no ranking."""
    about = {"sides": [{"key": "light", "label": "light"}, {"key": "bm25", "label": "words"}]}
    new = NewSnapshot("abcdefg", desk.collection.id, desk.label_set_id, "then", "", "ann", about)
    with desk.workspace.writing() as session:
        return storage.comparisons.create_snapshot(session, new, []).slug
