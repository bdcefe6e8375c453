"""What goes to the page: JSON, texts as they are, and words that fit the numbers."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import annotation
from annotation.collections.catalogue import all_collections
from annotation.collections.page import list_label_sets, open_page
from annotation.collections.store_whole import CollectionContent, store
from annotation.comparing.measure import JudgedShare
from annotation.judging.agreement import Agreement, JudgeWork, PairAgreement, People
from annotation.judging.review import DrawnMarks
from annotation.judging.setup import FOUR_GRADES, DeskSetup, Template
from annotation.labels.current import LabelCounts, PersonCounts
from annotation.ranking.rankers import ALIGNED, LIGHT
from annotation.ui.payloads.collections import collection_panel, coverage_panel
from annotation.ui.payloads.header import header
from annotation.ui.payloads.wording import chance, count, effect, labels_in_words, likely, measure_meaning, p_value_text
from annotation.workspace import Readiness
from era.evaluation.measures import COMPARISON_MEASURES, MEASURES
from era.types import Document, Query
from tests.annotation.test_comparing_panel import compare_payload
from tests.worlds.desk import Desk, as_json

HOSTILE = "<script>alert('x')</script> & \"quoted\" </textarea>"


def collection_payload(desk: Desk, author: str | None = "ann", **more: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"setup": DeskSetup(), "people": People([], None, [], [], 0), **more}
    return collection_panel(
        desk.page,
        author,
        all_collections(desk.workspace, author),
        list_label_sets(desk.workspace, desk.collection.id),
        **shown,
    )


def test_panels_pass_texts_on_unchanged(desk: Desk) -> None:
    content = CollectionContent(
        HOSTILE,
        HOSTILE,
        [Document(HOSTILE, HOSTILE, HOSTILE), Document("d2", "", HOSTILE)],
        [Query("q", HOSTILE, HOSTILE)],
    )
    collection = store(desk.workspace, content, author=HOSTILE, labels=HOSTILE, is_demo=False)
    hostile = replace(desk, collection=collection)
    compare = as_json(compare_payload(hostile, LIGHT, ALIGNED, query_id=hostile.query_id("q")))
    assert compare["one"]["text"] == compare["instruction"] == compare["queries"][0]["text"] == HOSTILE
    assert HOSTILE in [row["text"] for row in compare["one"]["sides"][1]["results"]]
    setup = DeskSetup(guidelines=HOSTILE, templates=(Template(HOSTILE[:60], HOSTILE),))
    shown_collection = as_json(collection_payload(hostile, HOSTILE, setup=setup, error=HOSTILE))
    [opened] = [each for each in shown_collection["collections"] if each["is_open"]]
    assert (opened["name"], opened["description"], shown_collection["error"]) == (HOSTILE, HOSTILE, HOSTILE)
    assert shown_collection["setup"]["guidelines"] == HOSTILE
    assert shown_collection["setup"]["templates"] == [{"name": HOSTILE[:60], "instruction": HOSTILE}]
    top = as_json(header(hostile.page, HOSTILE, Readiness("failed", HOSTILE, 0.0), can_sign_out=False))
    assert (top["collection"], top["person"]) == (HOSTILE, HOSTILE)
    assert HOSTILE in top["preparing"]["text"]


def test_collection_panel_is_equal_when_nothing_happened(trained_desk: Desk) -> None:
    first, second = (collection_payload(trained_desk) for _ in range(2))
    assert first == second


def test_collection_panel_gives_facts_of_a_collection(trained_desk: Desk) -> None:
    payload = as_json(collection_payload(trained_desk))
    [opened] = payload["collections"]
    fingerprint = trained_desk.workspace.open(trained_desk.collection.id).index.fingerprint
    assert [fact[:2] for fact in opened["facts"][:-1]] == [
        ["Documents", "16"], ["Queries", "12"], ["Judged documents", "24"], ["Query embedder", "strong, 13 dimensions"],
        ["Document embedder", "light, 11 dimensions"], ["Alignment", "16 documents read by the strong model"],
        ["Index", "0.0 MiB"], ["Fingerprint", fingerprint[:16]],
    ]  # fmt: skip
    assert (opened["why_fixed"], opened["can_go"], opened["is_archived"], payload["is_first"]) == (
        "",
        False,
        False,
        True,
    )
    assert payload["suggested_name"] == "ann's labels"
    [labels] = payload["label_sets"]
    assert (labels["name"], labels["counts"]) == (
        "Ann's labels",
        "12 queries judged, 12 with something relevant: 12 documents relevant, 12 not relevant",
    )
    visitor = collection_payload(trained_desk, None)
    assert (visitor["can_write"], visitor["suggested_name"]) == (False, "")


def test_labels_in_words_name_what_is_undecided_only_where_something_is() -> None:
    assert labels_in_words(LabelCounts(1, 0, 1, 1200, 0)) == (
        "1 query judged, 0 with something relevant: 1 document relevant, 1,200 not relevant"
    )
    assert labels_in_words(LabelCounts(3, 2, 0, 0, 2)).endswith("0 documents relevant, 0 not relevant, 2 undecided")


def test_collection_panel_shows_how_judging_is_set_up(trained_desk: Desk) -> None:
    setup = DeskSetup(FOUR_GRADES, "# Read", (Template("Vet", "as a vet"),), n_judges=3, depth=20, is_blind=False)
    assert as_json(collection_payload(trained_desk, setup=setup))["setup"] == {
        "grade_names": ["not relevant", "related", "relevant", "perfect"],
        "four_grades": ["not relevant", "related", "relevant", "perfect"],
        "guidelines": "# Read",
        "templates": [{"name": "Vet", "instruction": "as a vet"}],
        "n_judges": 3,
        "depth": 20,
        "is_blind": False,
    }


def test_collection_panel_shows_who_did_how_much_and_how_well_they_agree(trained_desk: Desk) -> None:
    first, last = datetime(2026, 1, 1, 9, tzinfo=UTC), datetime(2026, 1, 2, 9, 30, tzinfo=UTC)
    people = People(
        work=[
            JudgeWork("ann", PersonCounts(4, 1, 1, 2), 0.25, DrawnMarks(10, 9), 8.5, first, last),
            JudgeWork("bob", PersonCounts(n_queries=1), None, DrawnMarks(), None, first, first),
        ],
        agreement=Agreement(0.704, low=0.51, high=0.899, positive=0.75, n_pairs=1, n_queries=1, n_rarer=1, n_people=2),
        pairs=[PairAgreement("ann", f"judge {number:02}", 4, 0.75) for number in range(25)],
        with_imported=[PairAgreement("ann", "file", 4, 0.5)],
        n_conflicts=5,
    )
    shown = as_json(collection_payload(trained_desk, people=people))["people"]
    assert shown["n_conflicts"] == 5
    assert shown["agreement"]["text"].startswith("Agreement: 0.70, likely between 0.51 and 0.90: too little to tell")
    assert shown["agreement"]["text"].endswith(". On what one calls relevant, others agree in 75%.")
    assert "over 1 document of 1 query judged by at least two of 2 people;" in shown["agreement"]["title"]
    assert shown["work"] == [
        {
            "author": "ann", "n_graded": 4, "n_unsure": 1, "n_queries": 2, "share_relevant": 0.25, "kept": "9 of 10",
            "median_seconds": 8.5, "first_at": "2026-01-01T09:00:00+00:00", "last_at": "2026-01-02T09:30:00+00:00",
        },
        {
            "author": "bob", "n_graded": 0, "n_unsure": 0, "n_queries": 1, "share_relevant": None, "kept": "",
            "median_seconds": None, "first_at": "2026-01-01T09:00:00+00:00", "last_at": "2026-01-01T09:00:00+00:00",
        },
    ]  # fmt: skip
    assert len(shown["pairs"]) == 20
    assert shown["pairs"][0] == {"first": "ann", "second": "judge 00", "n": 4, "share": 0.75}
    assert shown["with_imported"] == [{"first": "ann", "second": "file", "n": 4, "share": 0.5}]
    nobody: dict[str, Any] = {
        "n_conflicts": 0, "hidden_note": "", "agreement": None, "work": [], "pairs": [], "with_imported": [],
    }  # fmt: skip
    assert collection_payload(trained_desk)["people"] == nobody


def test_collection_panel_gives_no_alpha_where_all_grades_are_equal(trained_desk: Desk) -> None:
    people = People([], Agreement(None, None, None, None, n_pairs=2, n_queries=1, n_rarer=0, n_people=2), [], [], 0)
    shown = as_json(collection_payload(trained_desk, people=people))["people"]
    assert shown["agreement"]["text"] == "Agreement: cannot be told, since all grades are equal."


def test_coverage_panel_says_how_much_is_judged_or_what_is_missing() -> None:
    shown = as_json(coverage_panel(JudgedShare(n_queries=1, before=0.254, after=0.5)))
    assert shown["text"].startswith("Of the first ten documents, 25% are judged for the light model alone and 50% for")
    assert "(Judged@10, 1 query with a relevant document)" in shown["text"]
    assert coverage_panel(None)["text"].startswith("Once a query has a relevant document")


@pytest.mark.parametrize(
    ("readiness", "preparing", "is_ready"),
    [
        (
            Readiness("preparing", "Loading the embedders", 0.05),
            {
                "state": "preparing",
                "fraction": 0.05,
                "text": "Loading the embedders. Searching works as soon as this is done; marks are safe.",
            },
            False,
        ),
        (Readiness("ready", "Aligning", 0.756), {"state": "ready", "fraction": 0.76, "text": "Aligning."}, True),
        (Readiness("ready", "", 1.0), None, True),
        (
            Readiness("failed", "It is missing.", 0.0),
            {"state": "failed", "fraction": 0, "text": "Search is not available. It is missing."},
            False,
        ),
    ],
)
def test_header_says_how_far_the_preparation_is(
    trained_desk: Desk, readiness: Readiness, preparing: dict[str, Any] | None, is_ready: bool
) -> None:
    page = open_page(trained_desk.workspace, None, None)
    payload = as_json(header(page, None, readiness, can_sign_out=False))
    assert (payload["preparing"], payload["is_ready"], payload["person"]) == (preparing, is_ready, None)
    assert (payload["collection"], payload["label_set"]) == ("animals", "Ann's labels")
    assert payload["can_sign_out"] is False
    assert header(page, "ann", readiness, can_sign_out=True)["can_sign_out"] is True


@pytest.mark.parametrize(
    ("p_value", "text"),
    [(0.0, "< 0.001"), (0.00099, "< 0.001"), (0.001, "= 0.001"), (0.0456, "= 0.046"), (1.0, "= 1.000")],
)
def test_p_value_text_names_small_values_as_a_bound(p_value: float, text: str) -> None:
    assert p_value_text(p_value) == text


def assert_says(text: str, *parts: str, but_not: str = "") -> None:
    """Fail unless a sentence has these words and figures, in this order."""
    assert re.search(".*".join(map(re.escape, parts)), text), text
    assert not but_not or but_not not in text, text


def test_chance_turns_at_five_percent() -> None:
    assert_says(chance(40, 0.049), "40 queries", "unlikely to be chance", "p = 0.049")
    assert_says(chance(10, 0.05), "10 queries", "could be chance", "p = 0.050", "more marked queries")


def test_chance_concludes_nothing_from_fewer_than_ten() -> None:
    assert_says(chance(9, 0.001), "only 9 queries", "nothing can be concluded", "p = 0.001", but_not="count as")
    assert_says(
        chance(12, 0.001, n_groups=9), "only 12 queries", "count as 9", "near-copies", "nothing can be concluded"
    )


def test_chance_says_as_how_many_queries_count_and_what_p_is_adjusted_for() -> None:
    said = chance(12, 0.04, n_groups=10, n_tests=4)
    assert_says(said, "12 queries", "count as 10", "unlikely to be chance", "p = 0.040", "4 tests", but_not="only")


@pytest.mark.parametrize(
    ("ends", "n", "text"),
    [
        ((-0.012, 0.031), 10, "likely between −0.02 and +0.04"),
        ((-0.012, 0.031), 9, "roughly between −0.02 and +0.04"),
        ((None, None), 5, ""),
    ],
)
def test_likely_says_how_rough_an_interval_is(ends: tuple[float | None, float | None], n: int, text: str) -> None:
    assert likely(*ends, n) == text


def test_count_chooses_the_noun() -> None:
    assert [count(n, "query", "queries") for n in (0, 1, 2, 1234)] == [
        "0 queries", "1 query", "2 queries", "1,234 queries",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nDCG@10", "How well the first ten are ordered: "),
        ("nDCG", "How well all that were ranked are ordered: "),
        ("R@100", "Share of the relevant documents that are among the first 100"),
        ("P(rel=2)@5", "Share of the first 5 that are relevant; a document counts as relevant from grade 2 on"),
        ("RR@10", "Reciprocal rank: 1 divided by the place of the first relevant document, 0 if there is none; "),
        ("Judged@10", "Share of the first ten that somebody judged; the others count as not relevant"),
        ("RBP(p=0.8)", "RBP(p=0.8), as ir-measures defines it"),
    ],
)
def test_measure_meaning_says_what_is_counted(name: str, words: str) -> None:
    assert measure_meaning(name).startswith(words)


def test_every_usual_measure_has_a_meaning_in_words() -> None:
    assert [name for name in {*MEASURES, *COMPARISON_MEASURES} if "ir-measures" in measure_meaning(name)] == []
    assert measure_meaning("RR@10").endswith("; looks at the first ten only")


def test_measures_have_one_name_each_on_every_screen() -> None:
    other = re.compile(r"\b(MRR|MAP|recall@|precision@|judged@|NDCG|ndcg@)")
    package = Path(annotation.__file__).parent
    files = [
        *(package / "ui/payloads").glob("*.py"),
        *(package / "ui/assets").rglob("*.js*"),
        package / "comparing/report.html",
    ]
    assert len(files) > 40
    assert any(file.suffix == ".py" for file in files)
    assert [(file.name, found[0]) for file in files if (found := other.search(file.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0.19, "hardly any effect"), (0.2, "a small effect"), (-0.5, "a medium effect"), (0.79, "a medium effect"),
        (-0.8, "a large effect"), (3.0, "a large effect"),
    ],
)  # fmt: skip
def test_effect_turns_at_cohens_limits(size: float, words: str) -> None:
    assert_says(effect(size), words, f"Cohen's d {size:+.2f}".replace("-", "−"), "0.2 is small, 0.5 medium, 0.8 large")


def test_effect_says_nothing_where_there_is_none() -> None:
    assert (effect(None), effect(0.0)) == ("", "")
