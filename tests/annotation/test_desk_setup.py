"""How judging is set up: what is refused, what is kept, and who has read which version of the guidelines."""

from dataclasses import asdict
from typing import Any

import pytest

import storage.collections
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.setup import (
    FOUR_GRADES,
    MAX_GUIDELINES,
    DeskSetup,
    Template,
    acknowledge,
    desk_setup,
    has_acknowledged,
    set_up,
    setup_of,
)
from storage.errors import UnknownRecord
from tests.worlds.desk import Desk
from tests.worlds.judging import with_setup

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""SHA-256 of "abc", as FIPS 180-2 prints it."""


@pytest.mark.parametrize(
    "changes",
    [
        {"grade_names": ("no",)},
        {"grade_names": ("no", "maybe", "yes")},
        {"grade_names": ("a", "b", "c", "d", "e")},
        {"grade_names": ("no", "")},
        {"grade_names": ("no", "x" * 31)},
        {"grade_names": ("Yes", "yes")},
        {"n_judges": 0},
        {"n_judges": 10},
        {"depth": 3},
        {"depth": 51},
        {"guidelines": "x" * (MAX_GUIDELINES + 1)},
        {"templates": (Template("", "Find laws"),)},
        {"templates": (Template("x" * 61, "Find laws"),)},
        {"templates": (Template("Laws", ""),)},
        {"templates": (Template("Laws", "a"), Template("LAWS", "b"))},
        {"templates": tuple(Template(f"name {n}", "a") for n in range(51))},
    ],
)
def test_desk_setup_refuses_what_no_desk_could_work_with(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        DeskSetup(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"grade_names": ("n", "x" * 30), "n_judges": 1, "depth": 4},
        {"grade_names": FOUR_GRADES, "n_judges": 9, "depth": 50, "guidelines": "x" * MAX_GUIDELINES},
        {"templates": tuple(Template(f"name {n}", "a") for n in range(50))},
    ],
)
def test_desk_setup_takes_what_is_just_allowed(changes: dict[str, Any]) -> None:
    assert asdict(DeskSetup(**changes)).items() >= {k: v for k, v in changes.items() if k != "templates"}.items()


@pytest.mark.parametrize(("names", "highest"), [(("no", "yes"), 1), (FOUR_GRADES, 3)])
def test_highest_grade_is_that_of_the_last_name(names: tuple[str, ...], highest: int) -> None:
    assert DeskSetup(grade_names=names).highest_grade == highest


def test_guidelines_hash_names_the_text() -> None:
    assert DeskSetup(guidelines="abc").guidelines_hash == ABC


def test_desk_setup_of_nothing_stored_is_two_grades_by_one_blind_judge() -> None:
    assert desk_setup(None) == DeskSetup(("not relevant", "relevant"), "", (), 1, 12, True)
    assert desk_setup({}) == desk_setup(None)


def test_desk_setup_takes_what_is_stored_and_ignores_what_another_version_wrote() -> None:
    stored = {"depth": 20, "grade_names": list(FOUR_GRADES), "colour": "blue"}
    assert desk_setup(stored) == DeskSetup(grade_names=FOUR_GRADES, depth=20)


def test_set_up_is_kept_for_everybody(desk: Desk) -> None:
    assert setup_of(desk.workspace, desk.collection.id) == DeskSetup()
    setup = DeskSetup(FOUR_GRADES, "Read *all* of it.", (Template("Laws", "Find laws"),), 3, 20, False)
    assert set_up(desk.workspace, "ann", desk.collection.id, setup) == setup
    assert setup_of(desk.again().workspace, desk.collection.id) == setup


def test_set_up_stores_nothing_that_is_refused(desk: Desk) -> None:
    long = DeskSetup(depth=20, templates=(Template("Long", "word " * 1001),))
    with pytest.raises(InvalidInputError, match="1,001 words"):
        set_up(desk.workspace, "ann", desk.collection.id, long)
    with pytest.raises(NotAllowedError):
        set_up(desk.workspace, None, desk.collection.id, DeskSetup(depth=20))
    with pytest.raises(UnknownRecord):
        set_up(desk.workspace, "ann", desk.collection.id + 1, DeskSetup(depth=20))
    with desk.workspace.reading() as session:
        assert storage.collections.get(session, desk.collection.id).desk is None


def test_guidelines_have_to_be_read_by_each_person_in_each_version(desk: Desk) -> None:
    workspace, collection_id = desk.workspace, desk.collection.id

    def readers(setup: DeskSetup) -> list[str]:
        return [who for who in ("ann", "ben") if has_acknowledged(workspace, who, collection_id, setup)]

    first = with_setup(desk, guidelines="Be strict.")
    assert readers(first) == []
    acknowledge(workspace, "ann", collection_id, first.guidelines_hash)
    acknowledge(workspace, "ann", collection_id, first.guidelines_hash)
    assert readers(first) == ["ann"]
    second = with_setup(desk, guidelines="Be lenient.")
    assert readers(second) == []
    acknowledge(workspace, "ben", collection_id, second.guidelines_hash)
    assert readers(second) == ["ben"]
    assert readers(with_setup(desk, guidelines="Be strict.")) == ["ann"]
    assert readers(with_setup(desk, guidelines="Be strict.", depth=30)) == ["ann"]


def test_guidelines_that_say_nothing_and_visitors_need_no_reading(desk: Desk) -> None:
    assert has_acknowledged(desk.workspace, "ann", desk.collection.id, with_setup(desk, guidelines=" \n "))
    strict = with_setup(desk, guidelines="Be strict.")
    assert has_acknowledged(desk.workspace, None, desk.collection.id, strict)
    assert not has_acknowledged(desk.workspace, "ann", desk.collection.id, strict)


def test_acknowledge_refuses_visitors_and_what_is_no_hash(desk: Desk) -> None:
    setup = with_setup(desk, guidelines="Be strict.")
    with pytest.raises(NotAllowedError):
        acknowledge(desk.workspace, None, desk.collection.id, setup.guidelines_hash)
    with pytest.raises(InvalidInputError):
        acknowledge(desk.workspace, "ann", desk.collection.id, setup.guidelines_hash[:-1])


def test_acknowledge_refuses_a_version_that_was_replaced_while_it_was_read(desk: Desk) -> None:
    seen = with_setup(desk, guidelines="Be strict.")
    with_setup(desk, guidelines="Be lenient.")
    with pytest.raises(InvalidInputError, match="have changed"):
        acknowledge(desk.workspace, "ann", desk.collection.id, seen.guidelines_hash)
