"""Whatever a page asks, the answer is in words for people, and never in Python's."""

import io
import json
import logging
import re
from collections import ChainMap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation import ui
from annotation.collections.uploads import DOWNLOADS, UploadLimits, Uploads
from annotation.ui.answers import Handler, Heard
from annotation.ui.app import Screens
from annotation.ui.downloads import Downloads
from annotation.ui.message import Message
from annotation.ui.server.asking import parts_of
from annotation.ui.server.marks import deliver
from tests.worlds.desk import Desk, copied_desk, training_worker

UI = Path(ui.__path__[0])
ASKED_FOR = re.compile(r'\.(text|name|number|optional_number|decimal|flag|list|values)\(\s*"(\w+)"')
KINDS = {name: kind for file in sorted(UI.rglob("*.py")) for kind, name in ASKED_FOR.findall(file.read_text("utf-8"))}
"""What the handlers look for in what is sent, and as what."""

KINDS.pop("path")  # the server itself looks at these, before any handler
KINDS |= {"strong": "values", "light": "values", "base_url": "text", "max_length": "number"}  # of embedders

NAMES = sorted(KINDS)
PLAUSIBLE = [
    "", "pool", "ranking", "again", "conflicts", "similar", "coverage", "light", "run-1", "era", "new", "csv", "run",
    "judgments", "table", "ann", "1", "cat feeding", "cat-feeding", "light~bm25", "delete", "describe", "left", "NaN",
    "\x00", "\ud800", "９", "x" * 3000, "https://hub.example/a", "../../etc/passwd", "%2e%2e/x",
]  # fmt: skip
names, texts, numbers = st.sampled_from(NAMES), st.sampled_from(PLAUSIBLE), st.integers(0, 3)
single = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | numbers | st.floats() | texts | st.text(max_size=8)
values = st.recursive(
    single,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
wrong = st.dictionaries(names, values, max_size=6)
nested: st.SearchStrategy[dict[str, Any]] = st.deferred(lambda: fitting)
FITTING = {
    "text": texts,
    "name": texts,
    "number": numbers,
    "optional_number": numbers,
    "decimal": st.floats(0, 3),
    "flag": st.booleans(),
    "list": st.lists(nested, max_size=2),
    "values": nested,
}
fitting: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={name: FITTING[kind] for name, kind in KINDS.items()}
)
flat = st.fixed_dictionaries({name: FITTING[kind] for name, kind in KINDS.items() if kind not in ("list", "values")})
REAL = {"collection_id": 1, "label_set_id": 1, "person": "ann"}
messages = st.one_of(
    values, wrong, st.builds(lambda *parts: dict(ChainMap(*parts)), wrong, fitting, st.just(REAL), flat)
)


@pytest.fixture(scope="module")
def desk(closed_judged_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Return a desk of this module, since what is sent here may change anything."""
    made = copied_desk(closed_judged_desk, tmp_path_factory.mktemp("malformed") / "data")
    yield made
    made.workspace.close()


@pytest.fixture(scope="module")
def screens(desk: Desk) -> Screens:
    workspace, kept = desk.workspace, desk.workspace.settings
    uploads = Uploads(workspace.folder / "uploads", kept.received_folder, UploadLimits.of(kept))
    return Screens(workspace, training_worker(workspace), uploads, Downloads(kept.received_folder / DOWNLOADS))


def check(handler: Handler, sent: Any, author: str | None) -> None:
    """Ask as a page does: everything that is answered is JSON, and none of it unexpected."""
    logged = io.StringIO()
    told = logging.StreamHandler(logged)
    logging.getLogger("annotation.ui.feedback").addHandler(told)
    try:
        answers = [json.dumps(heard, allow_nan=False) for heard in parts_of(handler, author, Message(sent))]
    finally:
        logging.getLogger("annotation.ui.feedback").removeHandler(told)
    assert logged.getvalue() == ""  # nothing unexpected
    for answer in answers:
        assert "Something unexpected" not in answer


def test_every_question_is_tried(screens: Screens) -> None:
    assert len(screens.answers) > 60
    assert len(NAMES) > 40


@pytest.mark.parametrize("sent", [None, ["text"], {"marks": {}, "batch": []}])
def test_a_question_without_what_it_needs_is_answered_in_words(screens: Screens, sent: Any) -> None:
    for handler in screens.answers.values():
        check(handler, sent, "ann")


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_question_with_anything_in_it_is_answered_in_words(screens: Screens, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(screens.answers)), "name")
    check(screens.answers[name], data.draw(messages, "sent"), data.draw(st.sampled_from(["ann", None])))


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(messages, st.sampled_from(["ann", None]))
def test_a_delivery_with_anything_in_it_is_answered_in_words(desk: Desk, sent: Any, author: str | None) -> None:
    answer = json.dumps(deliver(desk.workspace, author, Message(sent)), allow_nan=False)
    assert "Something unexpected" not in answer


def test_what_was_not_foreseen_is_not_told_in_the_words_of_python() -> None:
    def handler(author: str | None, message: Message) -> Heard:
        raise AttributeError("'NoneType' object has no attribute 'missing'")

    [heard] = parts_of(handler, "ann", Message(None))
    assert heard["trouble"]["error"].startswith("Something unexpected went wrong")
    assert "NoneType" not in str(heard)
