from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from storage import comparisons

Sessions = sessionmaker[Session]


def test_view_is_found_by_its_slug(sessions: Sessions) -> None:
    content = {"sides": ["aligned", "run-7"], "query": 3, "threshold": None, "name": "Été"}
    with sessions.begin() as session:
        assert comparisons.find_view(session, "abc2345") is None
        comparisons.keep_view(session, "abc2345", content)
        comparisons.keep_view(session, "other", {})
    with sessions.begin() as session:
        assert comparisons.find_view(session, "abc2345") == content
        assert comparisons.find_view(session, "other") == {}
        assert comparisons.find_view(session, "ABC2345") is None


def test_slug_that_leads_somewhere_stays_as_it_is(sessions: Sessions) -> None:
    with sessions.begin() as session:
        comparisons.keep_view(session, "abc", {"query": 1})
    with sessions.begin() as session:
        comparisons.keep_view(session, "abc", {"query": 1})
        comparisons.keep_view(session, "abc", {"query": 2})
    with sessions.begin() as session:
        assert comparisons.find_view(session, "abc") == {"query": 1}


def test_slug_is_kept_once_by_many_threads(
    sessions: Sessions, at_once: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    def keep(number: int) -> object:
        with sessions.begin() as session:
            comparisons.keep_view(session, "abc", {"query": number})
            return comparisons.find_view(session, "abc")

    answers = at_once(8, keep)
    assert all(answer == answers[0] for answer in answers)
