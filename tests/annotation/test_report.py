"""The report: what it says, that it needs nothing else, and that no text of anybody becomes markup."""

import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from annotation.comparing import report as charts
from annotation.comparing.measure import compare_all
from annotation.comparing.report import report_html
from annotation.comparing.snapshot import kept_comparison, snapshot_view, take
from annotation.comparing.view import ComparisonView, read_view, side_labels
from annotation.judging.setup import hidden_queries
from annotation.ranking.rankers import BM25
from annotation.ui.payloads.comparing import overall_payload
from era.types import Document
from tests.worlds.desk import Desk, new_desk, small_world, swapped_topics
from tests.worlds.judging import begin
from tests.worlds.words import DOCUMENTS, GRADED_TEXT

ASKED = " ".join(GRADED_TEXT.split())
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">'


class Parsed(HTMLParser):
    """Collects tags, attributes and texts of a page, and each text with the class of the tag before it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.classes: list[tuple[str, str]] = []
        self._class = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._class = dict(attrs).get("class") or ""

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        self.classes.append((data, self._class))

    @property
    def text(self) -> str:
        """Return all texts, blanks drawn together."""
        return " ".join(" ".join(self.texts).split())

    def count(self, tag: str, css_class: str = "") -> int:
        """Return how many tags there are, or how many of a class."""
        if not css_class:
            return self.tags.count(tag)
        return sum(each == (tag, "class", css_class) for each in self.attributes)


@pytest.fixture
def view(judged_desk: Desk) -> ComparisonView:
    """The light model against a run that exchanges the topics, with two queries that tell them apart."""
    judged_desk.mark(judged_desk.ask(GRADED_TEXT), "dog-illness", 1.0, 1)  # up from place 10 to place 2
    judged_desk.mark(judged_desk.ask(GRADED_TEXT + " cat"), "cat-feeding", 1.0, 2)  # down from place 1 to place 9
    run = judged_desk.finish_by_hand(swapped_topics())
    return read_view(judged_desk.workspace, judged_desk.page, f"light~run-{run.id}")


def shown_of(desk: Desk, view: ComparisonView, author: str | None = "ann") -> Mapping[str, Any] | None:
    """Return the numbers as the comparison screen shows them to a person."""
    kept = kept_comparison(desk.workspace, view)
    overall = kept.overall if kept else compare_all(desk.workspace, view)
    if overall is None:
        return None
    hidden = hidden_queries(
        desk.workspace, author, view.collection_id, view.label_set_id, [change.query.id for change in overall.queries]
    )
    return overall_payload(overall, view, side_labels(desk.workspace, view), hidden)


def report(desk: Desk, view: ComparisonView, author: str | None = "ann") -> Parsed:
    return Parsed(report_html(desk.workspace, author, view, shown_of(desk, view, author), desk.collection.name))


def test_the_report_says_what_was_compared_and_what_came_out(judged_desk: Desk, view: ComparisonView) -> None:
    shown, page = shown_of(judged_desk, view), report(judged_desk, view)
    assert shown is not None
    assert "“light model alone” and “after your marks (run 1), vectors alone”" in page.text
    assert "collection “animals”" in page.text
    assert "Measures: nDCG@10, R@100, RR, P@10, Judged@10." in page.text
    for part in shown["parts"]:
        assert part["title"] in page.text
        for against in part["against"]:
            assert against["verdict"] in page.text
            for row in against["rows"]:
                assert " ".join(row["cells"]) in page.text
    for query in shown["queries"]:
        assert " ".join(query["text"].split()) in page.text


def test_the_report_lays_out_the_first_tens_of_gains_and_losses(judged_desk: Desk, view: ComparisonView) -> None:
    page = report(judged_desk, view)
    gains, losses = page.text.index("Largest gains"), page.text.index("Largest losses")
    gained, lost = page.text[gains:losses], page.text[losses : page.text.index("All queries")]
    assert ASKED in gained
    assert f"{ASKED} cat" not in gained
    assert f"{ASKED} cat" in lost
    assert "dog ✓ 1 ▲ was 10" in gained
    assert "cat ✓ 1" in lost
    assert page.count("ol") == 4
    assert page.count("li") == 40
    assert page.count("bdi") == 42  # the titles and the two queries, each in its own direction


def test_the_report_says_of_each_move_whether_it_helps(judged_desk: Desk, view: ComparisonView) -> None:
    """The run exchanges the topics: what stood in places 1 to 8 goes down by 8, what stood below comes up."""
    query_id = judged_desk.ask(GRADED_TEXT)
    judged_desk.mark(query_id, "hare-illness", 0.0, 3)  # up from place 14 to 6, and not relevant
    judged_desk.mark(query_id, "cat-feeding", 0.0, 4)  # down from place 1 to 9, and not relevant
    judged_desk.mark(query_id, "seal-feeding", 1.0, 5)  # out of the first ten, and relevant
    page = report(judged_desk, view)
    text = page.text[page.text.index("Largest gains") : page.text.index("All queries")]
    classes = {(words, name) for words, name in page.classes if re.match("[▲▼△▽↑↓] (was|new|out)", words)}
    assert {
        ("▲ was 10", "better"),
        ("▼ was 1", "better"),
        ("△ new in the first ten", "worse"),
        ("▽ out of the first ten", "worse"),
        ("↑ new in the first ten", "note"),
        ("↓ out of the first ten", "note"),
    } <= classes
    assert {name for words, name in classes if words[0] in "▲▼"} == {"better"}
    assert {name for words, name in classes if words[0] in "△▽"} == {"worse"}
    assert "hare ✕ 0 △ new in the first ten" in text


def test_the_report_draws_every_query_and_every_measure(judged_desk: Desk, view: ComparisonView) -> None:
    page = report(judged_desk, view)
    assert page.count("path", "better") == page.count("path", "worse") == 1
    assert page.count("circle", "same") == 12
    assert sum(page.count("rect", kind) for kind in ("better", "worse", "same")) == 14
    assert page.count("circle", "middle") == 5
    assert page.count("svg") == page.count("desc") == 3
    assert all(value == "img" for tag, name, value in page.attributes if tag == "svg" and name == "role")


def test_the_report_tells_where_it_comes_from(trained_desk: Desk) -> None:
    view = read_view(trained_desk.workspace, trained_desk.page, "light~run-1")
    page = report(trained_desk, view)
    opened = trained_desk.workspace.open(trained_desk.collection.id)
    assert opened.index.fingerprint in page.text
    assert '"recipe": "era"' in page.text
    assert '"key": "run-1"' in page.text


def test_the_report_of_a_snapshot_keeps_its_numbers_name_and_note(judged_desk: Desk, view: ComparisonView) -> None:
    record = take(judged_desk.workspace, "ben", view, "Before the summer", "The run that exchanges topics")
    then = shown_of(judged_desk, view)
    judged_desk.mark(judged_desk.ask(GRADED_TEXT), "moth-illness", 1.0, 3)
    page = report(judged_desk, snapshot_view(record))
    assert then is not None
    assert "Before the summer" in page.text
    assert "The run that exchanges topics" in page.text
    assert "with 14 judged queries. Kept by ben." in page.text
    for row in then["parts"][0]["against"][0]["rows"]:
        assert " ".join(row["cells"]) in page.text
    assert "moth ✓" not in page.text
    assert "moth ✓" in report(judged_desk, view).text
    assert record.about["judgments"]["fingerprint"] in page.text


def test_the_report_of_three_sides_has_a_table_and_pictures_for_each(judged_desk: Desk, view: ComparisonView) -> None:
    page = report(judged_desk, replace(view, sides=(*view.sides, BM25)))
    assert page.count("svg") == 2 * 3
    assert "BM25, matching words alone" in page.text


def test_the_report_before_anything_is_judged_says_so(desk: Desk) -> None:
    page = report(desk, read_view(desk.workspace, desk.page, "light~bm25"))
    assert "nothing could be measured" in page.text
    assert page.count("table") == page.count("svg") == 0


def test_grades_and_numbers_stay_hidden_from_who_is_still_judging(judged_desk: Desk, view: ComparisonView) -> None:
    begin(judged_desk, "ben", judged_desk.ask(GRADED_TEXT))
    for each in (view, snapshot_view(take(judged_desk.workspace, "ann", view, "then"))):
        open_to, closed_to = report(judged_desk, each, None), report(judged_desk, each, "ben")
        assert "dog ✓ 1" in open_to.text
        assert "hidden until" not in open_to.text
        assert "dog ✓ 1" not in closed_to.text
        assert f"{ASKED} hidden until you have finished it" in closed_to.text
        assert f"{ASKED}:" not in closed_to.text  # as the titles of points and bars have it
        assert (open_to.count("path", "better"), closed_to.count("path", "better")) == (1, 0)
        assert (open_to.count("rect", "better"), closed_to.count("rect", "better")) == (1, 0)


def test_no_text_becomes_markup(data_dir: Path) -> None:
    hostile = [Document(each.doc_id, f"{each.title} {HOSTILE}", each.text) for each in DOCUMENTS]
    desk = new_desk(data_dir, small_world(name=HOSTILE, documents=hostile))
    desk.mark(desk.ask(f"{GRADED_TEXT} {HOSTILE}", HOSTILE), "dog-illness", 1.0, 1)
    run = desk.finish_by_hand(swapped_topics())
    view = read_view(desk.workspace, desk.page, f"light~run-{run.id}")
    record = take(desk.workspace, "ann", view, f"name {HOSTILE}"[:120], f"note {HOSTILE}")
    for each in (view, snapshot_view(record)):
        page = report(desk, each)
        assert not {"script", "img", "iframe", "link", "base", "form"} & set(page.tags)
        assert not any(name.startswith("on") or name in ("src", "href") for _, name, _ in page.attributes)
        assert page.text.count("alert(1)") > 10
    assert f"note {HOSTILE}" in page.text
    desk.workspace.close()


def test_the_report_needs_nothing_from_elsewhere(judged_desk: Desk, view: ComparisonView) -> None:
    html = report_html(judged_desk.workspace, "ann", view, shown_of(judged_desk, view), "animals")
    assert html.startswith("<!doctype html>")
    assert "default-src 'none'" in html
    for foreign in ("http:", "https:", "url(", "@import", "<script"):
        assert foreign not in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


QUERIES = [
    {"text": "one", "values": [0.25, 0.5], "change": 0.25},
    {"text": "two", "values": [1.0, 0.5], "change": -0.5},
    {"text": "three", "values": [0.0, 0.0], "change": 0.0},
]


def test_points_lie_at_before_and_after_from_the_lower_left_corner() -> None:
    points = charts.scatter(QUERIES, 1)
    assert [(point.x, point.y, point.kind) for point in points] == [
        (80.0, 160.0, "better"),
        (320.0, 160.0, "worse"),
        (0.0, 320.0, "same"),
    ]
    assert points[0].title == "one: 0.25 to 0.50"


def test_bars_go_from_the_largest_gain_to_the_largest_loss() -> None:
    bars = charts.bars(QUERIES, 1)
    assert [(bar.x, bar.y, bar.height, bar.kind) for bar in bars] == [
        (0.0, 55.0, 55.0, "better"),  # half of the largest change, upwards from the middle at 110
        (240.0, 110.0, 0.0, "same"),
        (480.0, 110.0, 110.0, "worse"),
    ]
    assert [bar.title for bar in bars] == ["one: +0.25", "three: =", "two: −0.50"]
    assert charts.bars([], 1) == []


def test_whiskers_share_one_axis_with_zero_in_the_middle() -> None:
    rows = [
        {"measure": "nDCG@10", "before": 0.5, "after": 0.6, "low": -0.1, "difference": 0.1, "high": 0.2},
        {"measure": "RR", "before": 0.5, "after": 0.5, "low": 0.0, "difference": 0.0, "high": 0.0},
    ]
    plot = charts.whiskers(rows)
    assert (plot.zero, plot.reach, plot.height) == (210.0, 0.2, 56.0)
    assert [(w.low, w.middle, w.high, w.y) for w in plot.whiskers] == [
        (105.0, 315.0, 420.0, 14.0),
        (210.0, 210.0, 210.0, 42.0),
    ]
    assert [w.title for w in plot.whiskers] == [
        "nDCG@10: +0.10, likely between −0.10 and +0.20",
        "RR: no difference, likely between 0.00 and 0.00",
    ]
