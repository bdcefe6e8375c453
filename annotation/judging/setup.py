"""How judging is set up in a collection: grades, guidelines, instruction templates, how much and by how many."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import storage.acknowledgements
import storage.collections
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.search import clean_text
from annotation.people.permissions import require, why_not_arrange
from annotation.workspace import Workspace

TWO_GRADES = ("not relevant", "relevant")
FOUR_GRADES = ("not relevant", "related", "relevant", "perfect")
MAX_GUIDELINES = 20_000  # characters


@dataclass(frozen=True, slots=True)
class Template:
    """An instruction that is offered by name."""

    name: str
    instruction: str


@dataclass(frozen=True, slots=True)
class DeskSetup:
    """How judging is set up.

    Attributes:
        grade_names: what the grades 0, 1, ... are called; two or four.
        guidelines: what counts as relevant here, in Markdown.
        templates: instructions offered by name.
        n_judges: how many people are to judge each document of a query; at least 1.
        depth: how many documents a query's pool holds, 4 to 50.
        is_blind: whether the pool is shown shuffled and without its sources.
    """

    grade_names: tuple[str, ...] = TWO_GRADES
    guidelines: str = ""
    templates: tuple[Template, ...] = ()
    n_judges: int = 1
    depth: int = 12
    is_blind: bool = True

    def __post_init__(self) -> None:
        """Raise InvalidInputError for what no desk could work with."""
        if len(self.grade_names) not in (2, 4) or not all(0 < len(name) <= 30 for name in self.grade_names):
            raise InvalidInputError("Give two or four grades, each a name of at most 30 characters.")
        if len({name.casefold() for name in self.grade_names}) < len(self.grade_names):
            raise InvalidInputError("Give each grade a name of its own.")
        if not 1 <= self.n_judges <= 9:
            raise InvalidInputError("From one to nine people can judge each document.")
        if not 4 <= self.depth <= 50:
            raise InvalidInputError("From 4 to 50 documents can be judged for each query.")
        if len(self.guidelines) > MAX_GUIDELINES:
            raise InvalidInputError(f"Shorten the guidelines to at most {MAX_GUIDELINES:,} characters.")
        named = all(0 < len(each.name) <= 60 and each.instruction for each in self.templates)
        if len(self.templates) > 50 or not named:
            raise InvalidInputError("Give each template a name of at most 60 characters and an instruction.")
        if len({each.name.casefold() for each in self.templates}) < len(self.templates):
            raise InvalidInputError("Two templates have the same name. Give each a name of its own.")

    @property
    def guidelines_hash(self) -> str:
        """Return what names this version of the guidelines."""
        return hashlib.sha256(self.guidelines.encode()).hexdigest()

    @property
    def highest_grade(self) -> int:
        """Return the grade of the last name."""
        return len(self.grade_names) - 1


def desk_setup(stored: Mapping[str, Any] | None) -> DeskSetup:
    """Return the setup that a collection keeps, or the default."""
    if stored is None:
        return DeskSetup()
    known = {name: value for name, value in stored.items() if name in DeskSetup.__dataclass_fields__}
    templates = tuple(Template(**each) for each in known.pop("templates", ()))
    return DeskSetup(**{**known, "grade_names": tuple(known.get("grade_names", TWO_GRADES)), "templates": templates})


def set_up(workspace: Workspace, author: str | None, collection_id: int, setup: DeskSetup) -> DeskSetup:
    """Keep how judging is set up, for everybody.

    Raises:
        NotAllowedError: if the collection is not the person's to change.
        InvalidInputError: if a text is too long.
        UnknownRecord: if there is no such collection.
    """
    templates = (Template(each.name.strip(), clean_text(each.instruction, "instruction")) for each in setup.templates)
    setup = replace(setup, templates=tuple(templates))
    with workspace.writing() as session:
        collection = storage.collections.get(session, collection_id)
        require(why_not_arrange(workspace.settings, author, collection, "change how judging is set up"))
        storage.collections.set_desk(session, collection_id, asdict(setup))
    return setup


def acknowledge(workspace: Workspace, author: str | None, collection_id: int, text_hash: str) -> None:
    """Note that `author` has read this version of the guidelines.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        InvalidInputError: if the guidelines are others by now.
    """
    if author is None:
        raise NotAllowedError("Sign in to judge.")
    with workspace.writing() as session:
        if text_hash != desk_setup(storage.collections.get(session, collection_id).desk).guidelines_hash:
            raise InvalidInputError("These guidelines have changed. Reload the page and read them again.")
        storage.acknowledgements.add(session, collection_id, author, text_hash)


def has_acknowledged(workspace: Workspace, author: str | None, collection_id: int, setup: DeskSetup) -> bool:
    """Return whether there is nothing that `author` still has to read before judging."""
    if author is None or not setup.guidelines.strip():
        return True
    with workspace.reading() as session:
        return storage.acknowledgements.has(session, collection_id, author, setup.guidelines_hash)
