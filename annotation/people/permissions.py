"""Who may do what. Every workflow that writes asks here, and the screens offer what would not be refused.

A page is never believed: `author` is the name of the server's session, None for a visitor who has not signed in, and
who manages a collection follows from what is stored and set.

A *manager* of a collection is,

- where one person is alone (no file of people, no Space): that person, of everything;
- where a file of people is in use: the person who brought the collection in, or the first person of the file where that
  is none of the people in it (the demo, `app.py PATH`);
- on a Space: the person who brought it in, and the account that owns the Space.

No one changes the demo of a Space. People judge, train and compare in it.

    what                                                        who
    ----------------------------------------------------------  ----------------------------------------------------
    search, judge, ask and import queries, start a label set,   anybody who is signed in
      train, compare, keep a comparison; bring in a new
      collection, own judgments, an adapter, a ranking
    settle what judges disagree about, and correct that         a manager
    set-up of judging (grades, guidelines, templates, ...)      a manager, but for the demo of a Space
    a collection's name, archive, deletion, documents,          a manager, but for the demo of a Space
      embedders
    which ranking a label set uses, which queries it keeps      its author; a manager, but for the demo of a Space
      for testing
    what a query needs                                          its author; a manager, but for the demo of a Space
    cancel, resume, name, pin, archive, delete a training run;  its author or a manager
      its learning curve
    delete a kept comparison or an imported ranking             its author or a manager
    cancel, resume, remove an import; stop the strong model     the person who started it or a manager
    bring in judgments in the name of somebody else             a person who is alone
"""

from functools import lru_cache

from annotation.errors import NotAllowedError
from annotation.people.password_file import read_people
from annotation.settings import Settings
from storage.records import CollectionRecord, LabelSetRecord, QueryRecord, TrainingRunRecord

DEMO_AUTHOR, IMPORTED_AUTHOR = "demo", "imported"
"""The authors of what the program brings along and of what files bring along; no people."""


def is_alone(settings: Settings) -> bool:
    """Return whether one person uses the app and also runs it, so that nothing of it has to be kept from them."""
    return not settings.has_several_people


def may_speak_for(settings: Settings, author: str, person: str) -> bool:
    """Return whether marks that somebody brings in count as said by this person at the desk."""
    return is_alone(settings) or author == person


def why_not_manage(
    settings: Settings, author: str | None, collection: CollectionRecord | None, what: str, made_by: str = ""
) -> str:
    """Return why a person may not do what is left to managers; empty if they may.

    Args:
        settings: of this process.
        author: who wants to.
        collection: which one is concerned; None where it is gone, or was never made.
        what: is to be done, to follow "can": `cancel run 3`.
        made_by: who made the thing concerned and may do so as well; empty where no one did.
    """
    return _why_not(settings, author, (*_maker(settings, made_by), *_managers(settings, collection)), what)


def why_not_arrange(
    settings: Settings, author: str | None, collection: CollectionRecord, what: str, made_by: str = ""
) -> str:
    """Return why a person may not change what belongs to the collection itself; as `why_not_manage`."""
    maker = _maker(settings, made_by)
    if settings.space_id is not None and collection.is_demo and author not in maker:
        return f"The demo of a Space stays as it is, so no one can {what}. Bring in a collection of your own for that."
    return why_not_manage(settings, author, collection, what, made_by)


def why_not_change_run(
    settings: Settings, author: str | None, collection: CollectionRecord, run: TrainingRunRecord, act: str
) -> str:
    """Return why a person may not cancel, name, ... a training run; `act` is the verb. As `why_not_manage`."""
    return why_not_manage(settings, author, collection, f"{act} run {run.number}", run.author)


def why_not_choose_ranking(
    settings: Settings, author: str | None, collection: CollectionRecord, label_set: LabelSetRecord
) -> str:
    """Return why a person may not choose which ranking a label set uses; empty if they may."""
    what = f"choose which ranking “{label_set.name}” uses"
    return why_not_arrange(settings, author, collection, what, label_set.created_by)


def why_not_keep_for_testing(
    settings: Settings, author: str | None, collection: CollectionRecord, label_set: LabelSetRecord
) -> str:
    """Return why a person may not choose which queries of a label set are kept for testing; empty if they may."""
    what = f"choose which queries “{label_set.name}” keeps for testing"
    return why_not_arrange(settings, author, collection, what, label_set.created_by)


def why_not_settle(settings: Settings, author: str | None, collection: CollectionRecord) -> str:
    """Return why a person may not settle what judges disagree about; empty if they may."""
    return why_not_manage(settings, author, collection, "settle what judges disagree about")


def why_not_describe(settings: Settings, author: str | None, collection: CollectionRecord, query: QueryRecord) -> str:
    """Return why a person may not say what a query needs; empty if they may."""
    return why_not_arrange(settings, author, collection, "describe what this query needs", query.author)


def require(why_not: str) -> None:
    """Refuse what there is a reason against, as the functions above return it.

    Raises:
        NotAllowedError: if there is one.
    """
    if why_not:
        raise NotAllowedError(why_not)


def _why_not(settings: Settings, author: str | None, allowed: tuple[str, ...], what: str) -> str:
    if author is None:
        return f"Sign in to {what}."
    if is_alone(settings) or author in allowed:
        return ""
    named = list(dict.fromkeys(allowed))
    if not named:
        return f"No one can {what} here."
    who = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} or {named[-1]}"
    return f"Only {who} can {what}."


def _managers(settings: Settings, collection: CollectionRecord | None) -> tuple[str, ...]:
    """Return who manages a collection where people sign in."""
    owner = () if collection is None else _maker(settings, collection.created_by)
    if settings.space_id is not None:
        return (*owner, *filter(None, (settings.space_author_name,)))
    return owner or _people(settings)[:1]


@lru_cache(maxsize=8)
def _people(settings: Settings) -> tuple[str, ...]:
    """Return who may sign in, in the order of the file of people as it was read first; empty without one."""
    return tuple(name for name, _ in read_people(settings.people))


def _maker(settings: Settings, made_by: str) -> tuple[str, ...]:
    """Return who made something, if that is somebody who can sign in.

    What the program brought along bears names that belong to no one, but on a Space any account may be called so.
    """
    if settings.space_id is None:
        return (made_by,) if made_by in _people(settings) else ()
    return () if made_by in ("", DEMO_AUTHOR, IMPORTED_AUTHOR, settings.local_name) else (made_by,)
