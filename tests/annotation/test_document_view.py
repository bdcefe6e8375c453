"""A document in full: its metadata, and the sentence closest to the query, by the ranking that is watched."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from annotation.errors import NotFoundError
from annotation.judging.view import look_into
from annotation.ranking.rankers import LIGHT, RankingKey
from annotation.workspace import Workspace
from era.encoders.base import EmbedderPair
from era.types import Document
from tests.worlds.desk import Desk, new_desk, small_world, staged_pair, swapped_topics
from tests.worlds.judging import write_query
from tests.worlds.words import QRELS

ABOUT_FEEDING, ABOUT_ILLNESS = "On feeding a cat .", "Or on illness of that cat ."
LONG = Document("long", "Cats", f"Some words before . {ABOUT_FEEDING} {ABOUT_ILLNESS} And the end of it .")
DOCUMENTS = [LONG, Document("short", "Cats", "One sentence only"), *small_world().documents]


@pytest.fixture
def reading_desk(tmp_path: Path) -> Iterator[Desk]:
    content = small_world(qrels=QRELS, documents=DOCUMENTS)
    made = new_desk(tmp_path / "reading", replace(content, metadata={"long": {"year": "2020", "by": "A. Vet"}}))
    yield made
    made.workspace.close()


def closest(desk: Desk, text: str, ranker: RankingKey = LIGHT, doc_id: str = "long") -> str | None:
    view = look_into(desk.workspace, write_query(desk, text), doc_id, ranker)
    return None if view.closest is None else LONG.text[slice(*view.closest)]


def test_look_into_points_out_the_sentence_closest_to_the_query(reading_desk: Desk) -> None:
    assert closest(reading_desk, "cat feeding") == ABOUT_FEEDING
    assert closest(reading_desk, "cat illness") == ABOUT_ILLNESS
    assert closest(reading_desk, "cat feeding", doc_id="short") is None


def test_look_into_reads_the_query_as_the_ranking_does(reading_desk: Desk) -> None:
    run = reading_desk.finish_by_hand(swapped_topics())
    assert closest(reading_desk, "cat feeding", RankingKey.of_run(run.id)) == ABOUT_ILLNESS
    assert closest(reading_desk, "cat illness", RankingKey.of_run(run.id)) == ABOUT_FEEDING


def test_look_into_tells_what_came_with_the_document(reading_desk: Desk) -> None:
    query = write_query(reading_desk, "cat")
    view = look_into(reading_desk.workspace, query, "long", LIGHT)
    assert (view.doc_id, view.metadata) == ("long", {"year": "2020", "by": "A. Vet"})
    assert look_into(reading_desk.workspace, query, "short", LIGHT).metadata == {}


def test_look_into_tells_what_is_known_before_the_embedders_are_there(reading_desk: Desk) -> None:
    query = write_query(reading_desk, "cat feeding")
    reading_desk.workspace.close()
    waiting = Workspace(reading_desk.workspace.settings, lambda spec, device: EmbedderPair(*staged_pair()))
    try:
        view = look_into(waiting, query, "long", LIGHT)
    finally:
        waiting.close()
    assert (view.closest, view.metadata["year"]) == (None, "2020")


def test_look_into_refuses_what_is_not_there(reading_desk: Desk) -> None:
    query = write_query(reading_desk, "cat")
    with pytest.raises(NotFoundError):
        look_into(reading_desk.workspace, query, "unicorn", LIGHT)
    with pytest.raises(NotFoundError):
        look_into(reading_desk.workspace, replace(query, collection_id=query.collection_id + 1), "long", LIGHT)
    with pytest.raises(NotFoundError):
        look_into(reading_desk.workspace, query, "long", RankingKey("run-7"))
