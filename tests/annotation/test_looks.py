"""Looks at comparisons: each different one counts once, a visitor's never, and counting stops nobody from looking."""

import logging
from typing import Any

import pytest

import storage.comparisons
from annotation.comparing.measure import look_digest, note_look
from annotation.comparing.snapshot import take
from annotation.comparing.view import ComparisonView, read_view
from annotation.ranking.rankers import RankingKey
from annotation.ui.message import Message
from annotation.ui.tabs.compare import CompareTab
from storage.errors import DatabaseBusy, DataFolderNotWritable
from tests.worlds.desk import Desk


def view_of(desk: Desk, *sides: str, **more: Any) -> ComparisonView:
    return ComparisonView(desk.collection.id, desk.label_set_id, tuple(map(RankingKey, sides)), None, **more)


def test_each_different_comparison_counts_once(judged_desk: Desk) -> None:
    def look(*sides: str, author: str | None = "ann", **more: Any) -> int:
        return note_look(judged_desk.workspace, author, view_of(judged_desk, *sides, **more))

    assert look("light", "aligned", author=None) == 0
    assert look("light", "aligned") == 1
    assert look("aligned", "light", author="ben") == 1  # but for the sign the same
    assert look("light", "aligned", is_in_sample=True) == 1
    assert look("light", "aligned", measures=("Judged@10", "nDCG@10", "RR")) == 1  # the same one decides
    assert look("light", "aligned", measures=("RR", "nDCG@10")) == 2
    assert look("light", "aligned", threshold=1.0) == 3
    assert look("light", "bm25") == 4
    assert look("light", "aligned", "bm25") == 5
    assert look("light", "bm25", "aligned") == 5
    assert look("bm25", "light", "aligned") == 6  # bm25 against aligned is another test
    assert look("light", "light+words", author=None) == 6


def test_a_look_is_named_by_a_digest_of_what_is_tested(judged_desk: Desk) -> None:
    digest = look_digest(view_of(judged_desk, "light", "aligned"))
    assert len(digest) == 64
    assert int(digest, 16) > 0


def opened(desk: Desk, tab: CompareTab, author: str | None, sides: str, **more: str) -> dict[str, Any]:
    """Return the whole screen as a person gets it."""
    *_, payload = tab.show(desk.page, author, Message({"sides": sides, **more}))
    return payload


def test_the_screen_says_how_often_has_been_looked(judged_desk: Desk) -> None:
    tab = CompareTab(judged_desk.workspace)
    assert opened(judged_desk, tab, "ann", "light~bm25")["overall"]["looks"] == ""
    assert opened(judged_desk, tab, "ann", "light~bm25")["overall"]["looks"] == ""
    said = opened(judged_desk, tab, "ann", "light~aligned")["overall"]["looks"]
    assert said == (
        "So far 2 different comparisons over these labels have been looked at: of 20 that show nothing but chance, "
        "about 1 looks proven."
    )
    assert opened(judged_desk, tab, None, "light~aligned+words")["overall"]["looks"] == said
    record = take(judged_desk.workspace, "ann", read_view(judged_desk.workspace, judged_desk.page, "light~bm25"), "May")
    kept = opened(judged_desk, tab, "ann", f"snap-{record.slug}-0~snap-{record.slug}-1")
    assert kept["overall"]["looks"] == ""  # nothing was looked for
    with judged_desk.workspace.reading() as session:
        assert storage.comparisons.count_looks(session, judged_desk.label_set_id) == 2


@pytest.mark.parametrize("error", [DatabaseBusy, DataFolderNotWritable])
def test_a_look_that_cannot_be_counted_stops_nobody(
    judged_desk: Desk,
    error: type[DatabaseBusy | DataFolderNotWritable],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> bool:
        raise error(judged_desk.workspace.folder, "full")

    monkeypatch.setattr(storage.comparisons, "note_look", fail)
    tab = CompareTab(judged_desk.workspace)
    with caplog.at_level(logging.WARNING):
        payload = opened(judged_desk, tab, "ann", "light~bm25")
    assert (payload["error"], payload["overall"]["looks"]) == ("", "")
    assert payload["overall"]["parts"]
    assert "is not counted" in caplog.text
