"""What the screens take from a page and say to it: errors in words, who is there, and messages that are not trusted."""

import logging
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from starlette.requests import Request

from annotation.errors import AnnotationError, InvalidInputError, NotFoundError
from annotation.settings import Settings
from annotation.ui.feedback import explain
from annotation.ui.message import Message, author_of
from era.errors import EmbedderUnavailableError
from storage.errors import StorageError, UnknownRecord

HERE = Settings(name="ann", space_id=None)
SPACE = Settings(name="ann", space_id="ann/era")


@pytest.mark.parametrize(
    "error",
    [
        InvalidInputError("Write something."),
        NotFoundError("There is none."),
        AnnotationError("Do this."),
        EmbedderUnavailableError("Install it."),
        StorageError("Make room."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_explain_gives_a_known_error_in_its_own_words(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    assert explain(error) == str(error)
    assert caplog.records == []


def test_explain_gives_an_unknown_record_in_its_own_words() -> None:
    assert explain(UnknownRecord("query", 7)) == "There is no query with the id 7. Reload the page and choose again."


@pytest.mark.parametrize("error", [ValueError("inner secret"), KeyError("inner secret"), RuntimeError("inner secret")])
def test_explain_is_general_about_an_unknown_error_and_logs_it(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        words = explain(error)
    assert "Something unexpected went wrong" in words
    assert type(error).__name__ in words
    assert "secret" not in words
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def request_of(session: dict[str, Any] | None = None, username: str | None = None) -> gr.Request:
    """Return a request as Gradio hands it over, with the signed session of someone who went through the sign-in."""
    return SimpleNamespace(username=username, request=SimpleNamespace(session=session))  # type: ignore[return-value]


def test_author_is_who_signed_in_with_a_password() -> None:
    assert author_of(HERE, request_of(username="bob")) == "bob"
    assert author_of(SPACE, request_of(username="bob")) == "bob"


def test_author_is_the_local_name_when_nobody_signs_in() -> None:
    assert author_of(HERE, request_of()) == "ann"


def test_author_on_a_space_is_who_signed_in_there() -> None:
    session = {"oauth_info": {"userinfo": {"preferred_username": "bob", "name": "Bob B."}}}
    assert author_of(SPACE, request_of(session)) == "bob"


@pytest.mark.parametrize(
    "session",
    [
        None,
        {},
        {"oauth_info": {}},
        {"oauth_info": {"userinfo": {}}},
        {"oauth_info": {"userinfo": {"preferred_username": ""}}},
        {"username": "bob", "preferred_username": "bob"},
    ],
)
def test_author_on_a_space_is_nobody_before_the_sign_in(session: dict[str, Any] | None) -> None:
    assert author_of(SPACE, request_of(session)) is None


def test_author_on_a_space_is_nobody_when_the_server_keeps_no_sessions() -> None:
    request = Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []})
    assert author_of(SPACE, gr.Request(request=request)) is None


def test_author_never_comes_from_what_the_page_sends() -> None:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"username=eve",
        "headers": [(b"x-user", b"eve")],
        "session": {},
    }
    assert author_of(SPACE, gr.Request(request=Request(scope))) is None


@pytest.mark.parametrize("data", [None, [], "text", 5, {}])
def test_message_takes_anything_as_empty(data: Any) -> None:
    message = Message(data)
    assert message.text("name") == ""
    assert message.optional_number("number") is None
    assert message.decimal("decimal") is None
    assert message.flag("flag") is False
    assert message.list("list") == []
    with pytest.raises(InvalidInputError, match="Expected number to be a whole number"):
        message.number("number")


@pytest.mark.parametrize("value", [5, 1.5, True, None, ["x"], {"x": 1}, "half of \ud83d"])
def test_message_refuses_what_is_no_text(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="Expected name to be a text"):
        Message({"name": value}).text("name")


def test_message_gives_a_text_as_it_is() -> None:
    assert Message({"name": " <b>\x00 "}).text("name") == " <b>\x00 "


@pytest.mark.parametrize(
    ("value", "expected"), [(7, 7), (0, 0), (-3, -3), ("42", 42), ("007", 7), (2**53 - 1, 2**53 - 1)]
)
def test_message_gives_a_whole_number(value: Any, expected: int) -> None:
    assert Message({"number": value}).number("number") == expected
    assert Message({"number": value}).optional_number("number") == expected


NO_NUMBERS = [
    True, False, None, 1.0, 1.5, float("nan"), "", " 7", "-3", "1.0", "1e3", "²", "١", "0x1", "1;drop", [1], {"a": 1},
    2**53, -(2**53), "9" * 30, "9" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:12])
def test_message_refuses_what_is_no_whole_number(value: Any) -> None:
    message = Message({"number": value})
    assert message.optional_number("number") is None
    with pytest.raises(InvalidInputError, match="Expected number to be a whole number"):
        message.number("number")


@pytest.mark.parametrize("value", [None, 0, 1, 0.5, -2, 1e300])
def test_message_leaves_it_to_judging_what_a_decimal_means(value: float | None) -> None:
    assert Message({"grade": value}).decimal("grade") == value


NO_DECIMALS = [True, False, "1", "", [1], {}, float("nan"), float("inf"), -float("inf"), 10**400]


@pytest.mark.parametrize("value", NO_DECIMALS, ids=lambda value: repr(value)[:12])
def test_message_refuses_what_is_no_decimal(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="Expected grade to be a number"):
        Message({"grade": value}).decimal("grade")


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), (False, False), (None, False), (1, False), ("true", False), ([True], False)]
)
def test_message_takes_a_flag_as_on_only_when_it_is_true(value: Any, expected: bool) -> None:
    assert Message({"is_blind": value}).flag("is_blind") is expected


@pytest.mark.parametrize(("value", "expected"), [([], []), (None, []), ([1, "x", None], [1, "x", None]), ([[]], [[]])])
def test_message_gives_a_list_as_it_is(value: Any, expected: list[Any]) -> None:
    assert Message({"marks": value}).list("marks") == expected


@pytest.mark.parametrize("value", ["", "text", 0, 5, False, True, {}, {"0": 1}])
def test_message_refuses_what_is_no_list(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="Expected marks to be a list"):
        Message({"marks": value}).list("marks")
