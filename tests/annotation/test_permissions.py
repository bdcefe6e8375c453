"""Who may do what, workflow by workflow: alone, with a file of people, on a Space; no page is believed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import storage.judgments
import storage.label_sets
import storage.queries
import storage.training_runs
from annotation.collections import imports, manage, update
from annotation.collections.embedders import bundled, change_query_embedder
from annotation.collections.imports import ImportRequest
from annotation.comparing import snapshot, strong
from annotation.comparing.view import ComparisonView
from annotation.errors import NotAllowedError
from annotation.judging import test_queries
from annotation.judging.marks import Mark, judge, start_label_set
from annotation.judging.queries import import_queries, set_need
from annotation.judging.review import lay_out_conflicts
from annotation.judging.setup import DeskSetup, set_up
from annotation.people.permissions import is_alone, why_not_arrange, why_not_manage
from annotation.ranking.rankers import ALIGNED, LIGHT
from annotation.settings import Settings
from annotation.training import manage as manage_runs
from annotation.training import start
from annotation.transfer.judgments import import_judgments
from annotation.ui.message import Message
from annotation.ui.tabs.collection import CollectionTab
from annotation.ui.tabs.judge import JudgeTab
from annotation.ui.tabs.train import TrainTab
from storage.records import CollectionRecord, JobState, JudgmentRole, PoolDocument, QueryRecord
from tests.worlds.desk import Desk, as_json, downloads_of, training_worker, uploads_of
from tests.worlds.importing import write_documents
from tests.worlds.judging import authors_seen, ids, say

Act = Callable[[Desk, str | None], object]

OWNER, OTHER, STRANGER = "ann", "bob", "eve"


def people_sign_in(desk: Desk, tmp_path: Path, *names: str) -> None:
    """Let these people use the app, each with a password."""
    people = tmp_path / "people.txt"
    people.write_text("".join(f"{name}:secret\n" for name in names))
    desk.workspace.settings = Settings(data_dir=desk.workspace.folder, device="cpu", people=people, space_id=None)


def becomes_a_space(desk: Desk, author: str | None = "host") -> None:
    """Let accounts of Hugging Face use the app."""
    desk.workspace.settings = Settings(
        data_dir=desk.workspace.folder,
        device="cpu",
        name="machine",
        space_id="host/era",
        space_author_name=author,
        oauth_client_id="id",
    )


def comes_with_the_program(desk: Desk) -> None:
    """Let the collection be the demo, with its queries and its label set."""
    with desk.workspace.writing() as session:
        for statement in (
            "UPDATE collection SET is_demo = 1, created_by = 'demo'",
            "UPDATE label_set SET created_by = 'demo'",
            "UPDATE query SET author = 'demo'",
        ):
            session.execute(text(statement))


@pytest.fixture
def shared(judged_desk: Desk, tmp_path: Path) -> Desk:
    """The collection that ann brought in, where three people sign in; eve is the first of the file."""
    people_sign_in(judged_desk, tmp_path, STRANGER, OWNER, OTHER)
    return judged_desk


def collection_by(desk: Desk, owner: str, is_demo: bool = False) -> CollectionRecord:
    return replace(desk.collection, created_by=owner, is_demo=is_demo)


def managers(desk: Desk, collection: CollectionRecord, *names: str | None) -> list[str | None]:
    settings = desk.workspace.settings
    return [name for name in names if not why_not_manage(settings, name, collection, "do it")]


def arrangers(desk: Desk, collection: CollectionRecord, *names: str | None) -> list[str | None]:
    settings = desk.workspace.settings
    return [name for name in names if not why_not_arrange(settings, name, collection, "do it")]


def test_who_is_alone_manages_everything(desk: Desk) -> None:
    assert is_alone(desk.workspace.settings)
    assert managers(desk, collection_by(desk, "ann"), "ann", "bob", None) == ["ann", "bob"]
    assert arrangers(desk, collection_by(desk, "demo", is_demo=True), "ann", None) == ["ann"]


def test_in_a_file_of_people_the_owner_manages_or_else_the_first(desk: Desk, tmp_path: Path) -> None:
    people_sign_in(desk, tmp_path, "eve", "ann", "bob")
    everybody = ("eve", "ann", "bob", None)
    assert managers(desk, collection_by(desk, "ann"), *everybody) == ["ann"]
    for owner in ("demo", "root", ""):  # the demo, and what was given to `app.py`
        assert managers(desk, collection_by(desk, owner), *everybody) == ["eve"]
    assert arrangers(desk, collection_by(desk, "demo", is_demo=True), *everybody) == ["eve"]


def test_on_a_space_its_author_and_the_owner_manage_and_nobody_changes_the_demo(desk: Desk) -> None:
    becomes_a_space(desk)
    accounts = ("host", "ann", "demo", "imported", "machine", "", None)
    assert managers(desk, collection_by(desk, "ann"), *accounts) == ["host", "ann"]
    for owner in ("demo", "imported", "machine", ""):  # no account, though one may be called so
        assert managers(desk, collection_by(desk, owner), *accounts) == ["host"]
    assert managers(desk, collection_by(desk, "demo", is_demo=True), *accounts) == ["host"]
    assert arrangers(desk, collection_by(desk, "demo", is_demo=True), *accounts) == []
    becomes_a_space(desk, author=None)
    assert managers(desk, collection_by(desk, "demo"), *accounts) == []


def test_refusals_say_who_may(shared: Desk) -> None:
    settings = shared.workspace.settings
    assert why_not_manage(settings, "bob", shared.collection, "dance") == "Only ann can dance."
    assert why_not_manage(settings, "eve", shared.collection, "dance", made_by="bob") == "Only bob or ann can dance."
    assert why_not_manage(settings, None, shared.collection, "dance") == "Sign in to dance."
    becomes_a_space(shared)
    settings, demo = shared.workspace.settings, collection_by(shared, "demo", is_demo=True)
    assert why_not_arrange(settings, "host", demo, "rename it").startswith("The demo of a Space stays as it is")
    becomes_a_space(shared, author=None)
    assert why_not_manage(shared.workspace.settings, "bob", demo, "dance") == "No one can dance here."


def test_the_settings_know_whose_space_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_AUTHOR_NAME", "host")
    assert Settings().space_author_name == "host"


def _replace_documents(desk: Desk, author: str | None) -> object:
    file = write_documents(desk.workspace.folder / "more.jsonl")
    request = ImportRequest(kind="replace", path=str(file), collection_id=desk.collection.id)
    return imports.start_import(desk.workspace, author, request)


def _build_another_index(desk: Desk, author: str | None) -> object:
    request = ImportRequest("embedders", embedders=bundled().to_json(), collection_id=desk.collection.id)
    return imports.start_import(desk.workspace, author, request)


ARRANGING: dict[str, Act] = {
    "judging": lambda d, who: set_up(d.workspace, who, d.collection.id, DeskSetup(n_judges=3)),
    "need": lambda d, who: set_need(d.workspace, who, d.collection.id, d.query_id("cat-vet"), "Illness"),
    "name": lambda d, who: manage.rename(d.workspace, who, d.collection.id, "beasts"),
    "description": lambda d, who: manage.describe(d.workspace, who, d.collection.id, "Beasts"),
    "archive": lambda d, who: manage.archive(d.workspace, who, d.collection.id),
    "unarchive": lambda d, who: manage.unarchive(d.workspace, who, d.collection.id),
    "delete": lambda d, who: manage.delete(d.workspace, who, d.collection.id, "animals"),
    "removal": lambda d, who: update.remove_documents(d.workspace, who, d.collection.id, ["cat-feeding"]),
    "documents": _replace_documents,
    "index": _build_another_index,
    "embedder": lambda d, who: change_query_embedder(d.workspace, who, d.collection.id, bundled()),
    "in use": lambda d, who: manage_runs.use(d.workspace, who, d.collection.id, d.label_set_id, "aligned"),
    "testing": lambda d, who: test_queries.keep_some(d.workspace, who, d.collection.id, d.label_set_id),
    "no testing": lambda d, who: test_queries.release(d.workspace, who, d.collection.id, d.label_set_id),
}


def queries_of(desk: Desk) -> Sequence[QueryRecord]:
    with desk.workspace.reading() as session:
        return storage.queries.list_all(session, desk.collection.id)


def is_refused(act: Act, desk: Desk, author: str | None) -> bool:
    try:
        act(desk, author)
    except NotAllowedError:
        return True
    except Exception:  # noqa: BLE001 - it was let in, whatever came of it
        return False
    return False


@pytest.mark.parametrize("act", ARRANGING.values(), ids=ARRANGING)
def test_a_collection_is_changed_by_who_manages_it_alone(shared: Desk, act: Act) -> None:
    assert [is_refused(act, shared, who) for who in (OTHER, STRANGER, None, OWNER)] == [True, True, True, False]


@pytest.mark.parametrize("act", ARRANGING.values(), ids=ARRANGING)
def test_the_demo_of_a_space_is_changed_by_nobody(judged_desk: Desk, act: Act) -> None:
    comes_with_the_program(judged_desk)
    becomes_a_space(judged_desk)
    assert [is_refused(act, judged_desk, who) for who in ("host", "ann", "demo", None)] == [True] * 4


def test_in_the_demo_of_a_space_people_judge_and_train_and_describe_their_own_queries(judged_desk: Desk) -> None:
    comes_with_the_program(judged_desk)
    becomes_a_space(judged_desk)
    workspace, collection_id = judged_desk.workspace, judged_desk.collection.id
    judged_desk.mark(judged_desk.query_id("cat-vet"), "cat-illness", 1.0, 1, author="visitor")
    import_queries(workspace, "visitor", collection_id, "queries.txt", b"a query of mine")
    query = next(q for q in queries_of(judged_desk) if q.text == "a query of mine")
    assert set_need(workspace, "visitor", collection_id, query.id, "Mine").need == "Mine"
    with pytest.raises(NotAllowedError):
        set_need(workspace, "other", collection_id, query.id, "Theirs")
    run = start.start(workspace, "visitor", collection_id, judged_desk.label_set_id, "era", 0)
    assert start.cancel(workspace, "visitor", run.id).state is JobState.CANCELLED
    again = start.start(workspace, "visitor", collection_id, judged_desk.label_set_id, "era", 0)
    assert start.cancel(workspace, "host", again.id).state is JobState.CANCELLED
    own = start_label_set(workspace, "visitor", collection_id, "visitor's labels")
    manage_runs.use(workspace, "visitor", collection_id, own, "aligned")


RUN_ACTS: dict[str, Callable[[Desk, str | None, int], object]] = {
    "name": lambda d, who, run_id: manage_runs.describe(d.workspace, who, run_id, "mine", ""),
    "pin": lambda d, who, run_id: manage_runs.pin(d.workspace, who, run_id, True),
    "archive": lambda d, who, run_id: manage_runs.archive(d.workspace, who, run_id, True),
    "cancel": lambda d, who, run_id: start.cancel(d.workspace, who, run_id),
    "resume": lambda d, who, run_id: start.resume(d.workspace, who, run_id),
    "curve": lambda d, who, run_id: start.ask_for_curve(d.workspace, who, run_id),
    "no curve": lambda d, who, run_id: start.withdraw_curve(d.workspace, who, run_id),
    "delete": lambda d, who, run_id: manage_runs.delete(d.workspace, who, run_id),
}


@pytest.mark.parametrize("act", RUN_ACTS.values(), ids=RUN_ACTS)
def test_a_training_run_is_for_who_started_it_and_who_manages(
    shared: Desk, act: Callable[[Desk, str | None, int], object]
) -> None:
    run = start.start(shared.workspace, OTHER, shared.collection.id, shared.label_set_id, "era", 0)
    refused = {who: is_refused(lambda d, who: act(d, who, run.id), shared, who) for who in (STRANGER, None, OTHER)}
    assert refused == {STRANGER: True, None: True, OTHER: False}
    again = start.start(shared.workspace, OTHER, shared.collection.id, shared.label_set_id, "era", 0)
    assert not is_refused(lambda d, who: act(d, who, again.id), shared, OWNER)
    assert not is_refused(lambda d, who: start.rerun_with_todays_labels(d.workspace, who, again.id), shared, STRANGER)


def test_who_started_a_label_set_chooses_what_it_uses(shared: Desk) -> None:
    own = start_label_set(shared.workspace, OTHER, shared.collection.id, "bob's labels")
    for who in (OTHER, OWNER):
        manage_runs.use(shared.workspace, who, shared.collection.id, own, "aligned")
        test_queries.release(shared.workspace, who, shared.collection.id, own)
    with pytest.raises(NotAllowedError, match="Only bob or ann can choose which queries “bob's labels” keeps for test"):
        test_queries.release(shared.workspace, STRANGER, shared.collection.id, own)
    with pytest.raises(NotAllowedError, match="Only bob or ann can choose which ranking “bob's labels” uses"):
        manage_runs.use(shared.workspace, STRANGER, shared.collection.id, own, "aligned")


def test_a_kept_comparison_is_deleted_by_who_kept_it_or_manages(shared: Desk) -> None:
    view = ComparisonView(shared.collection.id, shared.label_set_id, (LIGHT, ALIGNED), None)
    first, second = (snapshot.take(shared.workspace, OTHER, view, name) for name in ("first", "second"))
    places = shared.workspace, shared.collection.id
    assert snapshot.list_droppable(places[0], STRANGER, places[1]) == []
    assert snapshot.list_droppable(places[0], OTHER, places[1]) == [second.slug, first.slug]
    with pytest.raises(NotAllowedError, match="Only bob or ann can delete this comparison"):
        snapshot.drop(shared.workspace, STRANGER, first.slug)
    snapshot.drop(shared.workspace, OTHER, first.slug)
    snapshot.drop(shared.workspace, OWNER, second.slug)


def test_an_import_is_stopped_by_who_started_it_or_manages(judged_desk: Desk) -> None:
    becomes_a_space(judged_desk)
    workspace, file = judged_desk.workspace, write_documents(judged_desk.workspace.folder / "pets.jsonl")
    job = imports.start_import(workspace, "visitor", ImportRequest("new", name="pets", path=str(file)))
    of_each = {who: imports.list_changeable(workspace, who) for who in ("visitor", "host", "ann", None)}
    assert of_each == {"visitor": {job.id}, "host": {job.id}, "ann": set(), None: set()}
    for step in (imports.cancel_import, imports.resume_import, imports.dismiss_import):
        with pytest.raises(NotAllowedError, match="Only visitor or host can"):
            step(workspace, "ann", job.id)
    assert imports.cancel_import(workspace, "host", job.id).state == "cancelled"
    imports.dismiss_import(workspace, "host", job.id)


def test_the_strong_model_is_stopped_by_who_let_it_read_or_manages(shared: Desk) -> None:
    place = shared.workspace, shared.collection.id
    with pytest.raises(NotAllowedError, match="Sign in"):
        strong.read_all(place[0], None, place[1])
    strong.read_all(place[0], OTHER, place[1])
    assert [strong.may_stop(place[0], who, place[1]) for who in (STRANGER, OTHER, OWNER, None)] == [
        False, True, True, False,
    ]  # fmt: skip
    with pytest.raises(NotAllowedError, match="Only bob or ann can stop the strong model"):
        strong.read_none(place[0], STRANGER, place[1])
    strong.read_none(place[0], OWNER, place[1])


# --- settling what judges disagree about


def settle(desk: Desk, author: str, grade: float | None, sequence: int = 1, **more: object) -> str:
    """Settle cat-illness of the vet's query from a page that says it may; return why it was refused, or nothing."""
    mark = Mark(
        desk.label_set_id, desk.query_id("cat-vet"), "cat-illness", grade, None, None, f"settling-{author}", sequence,
        is_adjudication=True, **more,  # type: ignore[arg-type]
    )  # fmt: skip
    saved = judge(desk.workspace, author, desk.collection.id, [mark])
    return next(iter(saved.refused.values()), "")


@pytest.fixture
def disputed(shared: Desk) -> Desk:
    """Ann and bob disagree about a document of ann's collection."""
    say(shared, OWNER, shared.query_id("cat-vet"), "cat-illness", 1.0)
    say(shared, OTHER, shared.query_id("cat-vet"), "cat-illness", 0.0)
    return shared


def agreed(desk: Desk) -> float | None:
    return desk.qrels().get(desk.query_id("cat-vet"), {}).get("cat-illness")


def test_a_conflict_is_settled_by_who_manages_the_collection(disputed: Desk) -> None:
    for who in (OTHER, STRANGER):
        assert settle(disputed, who, 0.0) == "Only ann can settle what judges disagree about."
    assert agreed(disputed) is None
    assert settle(disputed, OWNER, 1.0) == ""
    assert agreed(disputed) == 1.0
    assert settle(disputed, OWNER, 0.0, 2) == ""  # corrected
    assert settle(disputed, STRANGER, 1.0, 2) != ""
    assert settle(disputed, STRANGER, None, 3, undoes=(f"settling-{OWNER}", 2)) != ""
    assert settle(disputed, OWNER, None, 3, undoes=(f"settling-{OWNER}", 2)) == ""  # taken back
    assert agreed(disputed) == 1.0


def test_what_judges_agree_about_is_settled_by_nobody(shared: Desk) -> None:
    query_id = shared.query_id("cat-vet")
    assert "nothing to settle" in settle(shared, OWNER, 0.0)  # a reference alone
    say(shared, OTHER, query_id, "cat-illness", 1.0)
    assert "nothing to settle" in settle(shared, OWNER, 0.0, 2)
    assert agreed(shared) == 1.0
    with shared.workspace.reading() as session:
        roles = {event.role for event in storage.judgments.history(session, shared.label_set_id, query_id)}
    assert roles == {JudgmentRole.REFERENCE, JudgmentRole.JUDGE}


def test_a_stranger_on_a_space_settles_nothing_and_its_author_does(judged_desk: Desk) -> None:
    comes_with_the_program(judged_desk)
    becomes_a_space(judged_desk)
    for who, grade in (("visitor", 1.0), ("other", 0.0)):
        say(judged_desk, who, judged_desk.query_id("cat-vet"), "cat-illness", grade)
    assert settle(judged_desk, "stranger", 1.0) == "Only host can settle what judges disagree about."
    assert settle(judged_desk, "host", 1.0) == ""
    assert agreed(judged_desk) == 1.0


def test_the_list_of_conflicts_is_laid_out_for_who_may_settle_them(disputed: Desk) -> None:
    places = disputed.collection.id, disputed.label_set_id
    for who in (OTHER, STRANGER, None):
        with pytest.raises(NotAllowedError):
            lay_out_conflicts(disputed.workspace, who, *places)
    with disputed.workspace.writing() as session:  # all there is to judge was judged by ann
        storage.label_sets.add_to_pool(
            session, disputed.label_set_id, disputed.query_id("cat-vet"), [PoolDocument("cat-illness", {})]
        )
    listed = lay_out_conflicts(disputed.workspace, OWNER, *places)
    assert (ids(listed.cards), authors_seen(listed)) == (["cat-illness"], {OWNER, OTHER})


def test_a_file_settles_nothing_for_who_may_not(disputed: Desk, tmp_path: Path) -> None:
    file = tmp_path / "judgments.jsonl"
    about = {"query_id": "cat-vet", "query": "cat", "instruction": "vet", "document_id": "cat-illness"}
    file.write_text(json.dumps({**about, "grade": 0, "person": OTHER, "role": "adjudicator"}) + "\n")
    found = import_judgments(disputed.workspace, OTHER, disputed.label_set_id, file)
    assert found.remarks == ("What was settled came in as references. Only ann can settle what judges disagree about.",)
    assert agreed(disputed) is None
    file.write_text(file.read_text().replace(OTHER, OWNER))
    import_judgments(disputed.workspace, OWNER, disputed.label_set_id, file)
    assert agreed(disputed) == 0.0


# --- the screens offer what would not be refused


def screens(desk: Desk, author: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return what the tabs Judge, Train and Collection show a person."""
    judge_tab = JudgeTab(desk.workspace)
    collection_tab = CollectionTab(desk.workspace, uploads_of(desk.workspace), downloads_of(desk.workspace))
    train_tab = TrainTab(desk.workspace, training_worker(desk.workspace))
    message = Message({"query": desk.query_id("cat-vet")})
    shown = judge_tab.show(desk.page, author, message), train_tab.show(desk.page, author)
    return as_json(shown[0]), as_json(shown[1]), as_json(collection_tab.show(desk.page, author))


def test_the_screens_offer_what_would_not_be_refused(disputed: Desk) -> None:
    run = start.start(disputed.workspace, OTHER, disputed.collection.id, disputed.label_set_id, "era", 0)
    file = write_documents(disputed.workspace.folder / "pets.jsonl")
    imports.start_import(disputed.workspace, OTHER, ImportRequest("new", name="pets", path=str(file)))
    for who in (OWNER, OTHER, STRANGER):
        judging, training, collection = screens(disputed, who)
        is_manager, is_maker = who == OWNER, who == OTHER
        told, is_mine = judging["settings"], judging["query"]["is_mine"]
        may_describe = "all" in told["may_describe"] or (is_mine and "own" in told["may_describe"])
        assert (told["may_settle"], may_describe) == (is_manager, is_manager)
        assert collection["may_settle"] is is_manager
        reason = "" if is_manager else "Only ann can change this collection."
        assert (collection["why_fixed"], collection["collections"][0]["why_fixed"]) == (reason, reason)
        assert [job["may_change"] for job in collection["jobs"]] == [is_maker]
        assert training["fixed"] == (
            {} if is_manager or is_maker else {str(run.id): "Only bob or ann can change run 1."}
        )
        assert (training["why_no_choice"] == "") is is_manager
        assert (training["outlook"]["testing"]["why_not"] == "") is is_manager
