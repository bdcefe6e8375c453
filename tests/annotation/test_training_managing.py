"""Keeping order among training runs: which is in use, names and notes, deleting, what was marked otherwise."""

import shutil
from typing import Any

import pytest

import storage.comparisons
import storage.jobs
import storage.training_runs
from annotation.collections.page import open_page
from annotation.collections.store_whole import store
from annotation.errors import InvalidInputError, NotAllowedError, NotFoundError
from annotation.judging.marks import start_label_set
from annotation.ranking import rankers
from annotation.ranking.rankers import RankingKey
from annotation.training import explain, manage, start
from annotation.training.explain import changed_marks, changes_between
from storage.errors import UnknownRecord
from storage.records import JobKind, JobState, NewSnapshot, TrainingRunRecord
from tests.worlds.desk import Desk, small_world, swapped_topics
from tests.worlds.judging import offer
from tests.worlds.words import QRELS


def in_use(judged: Desk) -> str:
    return rankers.default_ranker(judged.workspace, judged.collection.id, judged.label_set_id)


def use(judged: Desk, key: str, author: str | None = "ann") -> None:
    manage.use(judged.workspace, author, judged.collection.id, judged.label_set_id, key)


def listed(judged: Desk) -> list[TrainingRunRecord]:
    return start.history(judged.workspace, judged.collection.id)


def test_use_takes_any_ranking_that_the_desk_offers(judged_desk: Desk) -> None:
    runs = [judged_desk.finish_by_hand(swapped_topics()) for _ in range(2)]
    plain = ["light", "aligned", *(f"run-{run.id}" for run in runs)]
    for key in [*plain, *(f"{key}+words" for key in plain)]:
        use(judged_desk, key)
        assert in_use(judged_desk) == key


@pytest.mark.parametrize(
    "key", ["", "run-99", "run-1", "nonsense", "run-1+words", "bm25", "strong", "light+words+words"]
)
def test_use_refuses_what_cannot_be_used(judged_desk: Desk, key: str) -> None:
    judged_desk.start()  # run-1, which is only queued
    with pytest.raises(InvalidInputError, match="cannot be used here"):
        use(judged_desk, key)


def test_use_refuses_strangers_and_label_sets_of_other_collections(judged_desk: Desk) -> None:
    with pytest.raises(NotAllowedError, match="Sign in"):
        use(judged_desk, "aligned", author=None)
    other = store(judged_desk.workspace, small_world("other", QRELS), author="ann", labels="", is_demo=False)
    with pytest.raises(InvalidInputError, match="another collection"):
        manage.use(judged_desk.workspace, "ann", other.id, judged_desk.label_set_id, "aligned")


def test_describe_keeps_name_and_note_without_blanks_around(judged_desk: Desk) -> None:
    run = judged_desk.start()
    manage.describe(judged_desk.workspace, "ann", run.id, "  the   good\none ", "\n why it is good\n")
    assert (judged_desk.run(run.id).name, judged_desk.run(run.id).note) == ("the good one", "why it is good")
    manage.describe(judged_desk.workspace, "ann", run.id, "", "")
    assert (judged_desk.run(run.id).name, judged_desk.run(run.id).note) == ("", "")


@pytest.mark.parametrize(("name", "note"), [("x" * 81, ""), ("", "x" * 2001)])
def test_describe_refuses_what_is_too_long(judged_desk: Desk, name: str, note: str) -> None:
    run = judged_desk.start()
    with pytest.raises(InvalidInputError, match="Shorten it"):
        manage.describe(judged_desk.workspace, "ann", run.id, name, note)
    assert judged_desk.run(run.id).note == ""


def test_pin_and_archive_can_be_taken_back(judged_desk: Desk) -> None:
    run = judged_desk.start()
    assert manage.pin(judged_desk.workspace, "ann", run.id, True).is_pinned
    archived = manage.archive(judged_desk.workspace, "ann", run.id, True)
    assert (archived.is_pinned, archived.is_archived) == (True, True)
    assert not manage.archive(judged_desk.workspace, "ann", run.id, False).is_archived
    assert not manage.pin(judged_desk.workspace, "ann", run.id, False).is_pinned


def test_nobody_but_signed_in_people_changes_a_run(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    for act in (
        lambda: manage.describe(judged_desk.workspace, None, run.id, "mine", ""),
        lambda: manage.pin(judged_desk.workspace, None, run.id, True),
        lambda: manage.archive(judged_desk.workspace, None, run.id, True),
        lambda: manage.delete(judged_desk.workspace, None, run.id),
    ):
        with pytest.raises(NotAllowedError, match="Sign in"):
            act()
    assert judged_desk.run(run.id) == run
    assert judged_desk.workspace.adapter_folder(run.id).is_dir()


def test_delete_takes_away_the_adapter_and_never_gives_the_number_again(judged_desk: Desk) -> None:
    first, second = (judged_desk.finish_by_hand(swapped_topics()) for _ in range(2))
    manage.delete(judged_desk.workspace, "ann", second.id)
    assert [run.id for run in listed(judged_desk)] == [first.id]
    folder = judged_desk.workspace.adapter_folder(first.id).parent
    assert [each.name for each in folder.iterdir()] == [f"run-{first.id}"]
    with pytest.raises(UnknownRecord):
        judged_desk.run(second.id)
    opened = judged_desk.workspace.open(judged_desk.collection.id)
    with pytest.raises(NotFoundError, match="left no adapter"):
        rankers.retriever(judged_desk.workspace, opened, RankingKey(f"run-{second.id}"))
    third = judged_desk.start()
    assert (third.number, third.id) == (3, 3)


def test_delete_of_the_run_in_use_leaves_the_best_there_is(judged_desk: Desk) -> None:
    first, second = (judged_desk.finish_by_hand(swapped_topics()) for _ in range(2))
    use(judged_desk, f"run-{first.id}")
    manage.delete(judged_desk.workspace, "ann", first.id)
    assert in_use(judged_desk) == f"run-{second.id}"


def test_delete_is_for_who_trained_where_several_people_sign_in(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    people = judged_desk.workspace.folder / "people.txt"
    people.write_text("ann:one\nben:two\n")
    judged_desk.workspace.settings = judged_desk.workspace.settings.model_copy(update={"people": people})
    with pytest.raises(NotAllowedError, match="Only ann can delete run 1"):
        manage.delete(judged_desk.workspace, "ben", run.id)
    assert judged_desk.workspace.adapter_folder(run.id).is_dir()
    manage.delete(judged_desk.workspace, "ann", run.id)
    assert not judged_desk.workspace.adapter_folder(run.id).exists()


def test_deletion_cut_short_is_finished_at_the_next_start(judged_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    with monkeypatch.context() as dying:
        dying.setattr(shutil, "rmtree", lambda *args, **named: None)
        manage.delete(judged_desk.workspace, "ann", run.id)
    folder = judged_desk.workspace.adapter_folder(run.id).parent
    assert len(list(folder.iterdir())) == 1
    manage.sweep(judged_desk.workspace)
    assert list(folder.iterdir()) == []


def test_delete_refuses_what_is_under_way(judged_desk: Desk) -> None:
    run = judged_desk.start()
    with pytest.raises(InvalidInputError, match=r"Run 1 is queued\. Cancel it first"):
        manage.delete(judged_desk.workspace, "ann", run.id)
    with judged_desk.workspace.writing() as session:
        storage.jobs.claim_next(session, {JobKind.TRAIN})
    with pytest.raises(InvalidInputError, match="Run 1 is running"):
        manage.delete(judged_desk.workspace, "ann", run.id)


def keep_comparison(judged: Desk, name: str, *keys: str) -> None:
    about: dict[str, Any] = {"sides": [{"key": key, "label": key} for key in keys]}
    with judged.workspace.writing() as session:
        new = NewSnapshot(name, judged.collection.id, judged.label_set_id, name, "", "ann", about)
        storage.comparisons.create_snapshot(session, new, [])


def test_dependents_are_label_sets_kept_comparisons_and_reruns(judged_desk: Desk) -> None:
    one, other = (judged_desk.finish_by_hand(swapped_topics()) for _ in range(2))
    use(judged_desk, f"run-{one.id}")
    keep_comparison(judged_desk, "shows", "light", f"run-{one.id}")
    keep_comparison(judged_desk, "shows-with-words", f"run-{one.id}+words", "light")
    keep_comparison(judged_desk, "shows-another", "light", f"run-{one.id}0")
    start.rerun_with_same_labels(judged_desk.workspace, "ann", one.id)
    run, found = manage.dependents(judged_desk.workspace, one.id)
    assert run.id == one.id
    assert list(found.label_sets) == ["Ann's labels"]
    assert sorted(found.snapshots) == ["shows", "shows-with-words"]
    assert list(found.reruns) == [3]
    _, none = manage.dependents(judged_desk.workspace, other.id)
    assert (list(none.label_sets), list(none.snapshots), list(none.reruns)) == ([], [], [])


def test_changed_marks_are_those_added_removed_or_graded_otherwise() -> None:
    before = {"2": {"a": 1.0, "b": 0.0, "c": 2.0}, "10": {"a": 1.0}, "3": {"x": 1.0}}
    after = {"2": {"a": 1.0, "c": 0.0, "d": 1.0}, "3": {"x": 1.0}, "11": {"z": 0.0}}
    assert changed_marks(before, after) == {
        "2": {"b": (0.0, None), "c": (2.0, 0.0), "d": (None, 1.0)},
        "10": {"a": (1.0, None)},
        "11": {"z": (None, 0.0)},
    }
    assert list(changed_marks(before, after)) == ["2", "10", "11"]


def test_changes_between_a_run_and_today_name_documents(judged_desk: Desk) -> None:
    run = judged_desk.start()
    dog, cat = judged_desk.query_id("dog-owner"), judged_desk.query_id("cat-owner")
    judged_desk.mark(dog, "moth-illness", 1.0, 1)  # added
    judged_desk.mark(cat, "cat-feeding", 0.0, 2)  # relevant until now, by the import
    judged_desk.mark(cat, "cat-feeding", 0.0, 3, author="bob")
    offer(judged_desk, cat, "cat-feeding")  # so that ann is done
    found = changes_between(judged_desk.workspace, "ann", run.id, None)
    assert (found.n_added, found.n_removed, found.n_changed, found.n_hidden) == (1, 0, 1, 0)
    by_query = {query.id: [(m.doc_id, m.title, m.before, m.after) for m in marks] for query, marks in found.queries}
    assert by_query == {dog: [("moth-illness", "moth", None, 1.0)], cat: [("cat-feeding", "cat", 1.0, 0.0)]}
    later = judged_desk.start()
    assert changes_between(judged_desk.workspace, "ann", later.id, None).queries == []
    backwards = changes_between(judged_desk.workspace, "ann", later.id, run.id)
    assert (backwards.n_added, backwards.n_removed, backwards.n_changed) == (0, 1, 1)


def test_changes_between_runs_of_different_collections_are_refused(judged_desk: Desk) -> None:
    other = store(judged_desk.workspace, small_world("other", QRELS), author="ann", labels="", is_demo=False)
    label_set_id = open_page(judged_desk.workspace, other.id, None).label_set.id
    theirs = start.start(judged_desk.workspace, "ann", other.id, label_set_id, "era", 0)
    with pytest.raises(InvalidInputError, match="different collections"):
        changes_between(judged_desk.workspace, "ann", judged_desk.start().id, theirs.id)


def test_details_list_what_the_run_learned_from(trained_desk: Desk) -> None:
    found = explain.details(trained_desk.workspace, "ann", 1)
    assert (found.run.id, found.label_set, found.rerun_of) == (1, "Ann's labels", None)
    assert [taught.query.public_id for taught in found.queries] == list(QRELS)
    assert {(t.n_relevant, t.n_not_relevant, t.is_hidden) for t in found.queries} == {(1, 1, False)}
    assert found.made_with["strong_embedder"]["name"] == trained_desk.strong.identity.name
    marks = explain.snapshot_marks(trained_desk.workspace, "ann", 1, trained_desk.query_id("wren-vet"))
    assert [(m.doc_id, m.title, m.grade) for m in marks] == [
        ("wren-illness", "wren", 1.0),
        ("wren-feeding", "wren", 0.0),
    ]
    with pytest.raises(NotFoundError, match="learned nothing from that query"):
        explain.snapshot_marks(trained_desk.workspace, "ann", 1, 999)


def test_details_of_a_run_from_before_read_what_the_adapter_says(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    found = explain.details(judged_desk.workspace, "ann", run.id)
    assert found.made_with["light_embedder"]["name"] == judged_desk.light.identity.name
    manage.delete(judged_desk.workspace, "ann", run.id)
    left = judged_desk.start()
    assert explain.details(judged_desk.workspace, "ann", left.id).made_with == {}


def test_marks_of_a_query_stay_hidden_from_who_may_still_judge_it(judged_desk: Desk) -> None:
    run, hidden = judged_desk.start(), judged_desk.query_id("wren-vet")
    judged_desk.mark(hidden, "moth-illness", 1.0, 1)
    found = explain.details(judged_desk.workspace, "ben", run.id)
    assert [taught.query.id for taught in found.queries if taught.is_hidden] == [hidden]
    with pytest.raises(NotFoundError, match="may still judge"):
        explain.snapshot_marks(judged_desk.workspace, "ben", run.id, hidden)
    assert explain.snapshot_marks(judged_desk.workspace, "ann", run.id, hidden)
    changes = changes_between(judged_desk.workspace, "ben", run.id, None)
    assert (changes.n_hidden, changes.n_added, changes.queries) == (1, 0, [])
    assert changes_between(judged_desk.workspace, "ann", run.id, None).n_added == 1


def test_a_new_label_set_does_not_take_over_what_another_one_uses(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    use(judged_desk, f"run-{run.id}")
    start_label_set(judged_desk.workspace, "ann", judged_desk.collection.id, "second")
    assert in_use(judged_desk) == "aligned+words+reread"
    use(judged_desk, f"run-{run.id}")  # but it may be chosen there
    assert in_use(judged_desk) == f"run-{run.id}"
    assert judged_desk.run(run.id).state is JobState.FINISHED
