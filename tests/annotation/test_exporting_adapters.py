"""Adapters out and in again: the same weights, measures and honest rankings; and no trust in what a zip file claims."""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import storage.queries
import storage.training_runs
from annotation.collections.page import open_page
from annotation.comparing.explain import _learned
from annotation.comparing.rank import rank_queries
from annotation.errors import InvalidInputError, NotAllowedError, NotFoundError
from annotation.judging.setup import left_out
from annotation.ranking.rankers import RankingKey, list_usable
from annotation.training.explain import details
from annotation.training.start import outlook
from annotation.transfer.adapter_files import unpack_zip
from annotation.transfer.adapters import export_adapter, import_adapter
from annotation.transfer.files import exports_folder
from annotation.ui.payloads.training import train_panel
from annotation.ui.payloads.training_run import details_panel
from era.adapter import QueryAdapter
from era.errors import AdapterDamagedError, FormatError, IdentityMismatchError
from storage.records import JobState, TrainingRunRecord
from tests.worlds.desk import Desk, copied_desk, new_desk, small_world
from tests.worlds.judging import begin
from tests.worlds.words import ANIMALS, DOCUMENTS, QRELS, TOPICS, WordEmbedder

Change = Callable[[dict[str, Any]], None]


def taken_out(desk: Desk, run_id: int = 1, author: str = "ann") -> Path:
    made = export_adapter(desk.workspace, author, run_id)
    assert isinstance(made.content, Path)
    return made.content


def bring(desk: Desk, path: Path, author: str | None = "ann") -> TrainingRunRecord:
    return import_adapter(desk.workspace, author, desk.collection.id, desk.label_set_id, path)


def loaded(desk: Desk, run_id: int) -> tuple[QueryAdapter, dict[str, Any]]:
    return QueryAdapter.load(desk.workspace.adapter_folder(run_id))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The small world after one training run, with a name and a note."""
    made = new_desk(tmp_path_factory.mktemp("to-take-out"), small_world(qrels=QRELS))
    run = made.train()
    assert run.state is JobState.FINISHED
    with made.workspace.writing() as session:
        storage.training_runs.describe(session, run.id, name="spring", note="as *agreed*")
    yield made
    made.workspace.close()


@pytest.fixture(scope="module")
def packed(trained: Desk) -> Path:
    return taken_out(trained)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Desk]:
    """The same documents in another data folder that has other queries first, so that no id is the same."""
    content = small_world("elsewhere")
    made = new_desk(tmp_path / "elsewhere", replace(content, queries=[]))
    for text in ("one", "two", "three"):
        made.ask(text)
    yield made
    made.workspace.close()


def test_an_adapter_comes_in_the_same_with_all_that_is_known_of_it(
    trained: Desk, elsewhere: Desk, packed: Path
) -> None:
    came = bring(elsewhere, packed)
    original = trained.run(1)
    kept = (
        "state", "recipe", "seed", "config", "snapshot_hash", "n_queries", "n_relevant", "n_not_relevant", "measures",
        "device", "message", "name", "curve", "started_at", "finished_at",
    )  # fmt: skip
    assert {name: getattr(came, name) for name in kept} == {name: getattr(original, name) for name in kept}
    assert (came.author, came.number, came.label_set_id) == ("ann", 1, elsewhere.label_set_id)
    day = f"{original.finished_at:%Y-%m-%d}"
    assert came.note == f"Imported: trained by ann on {day} as run 1 of “animals”.\n\nas *agreed*"
    (before, arrays), (after, other) = loaded(trained, 1), loaded(elsewhere, came.id)
    assert after.views == before.views
    np.testing.assert_array_equal(after.weight, before.weight)
    np.testing.assert_array_equal(after.bias, before.bias)
    assert before.neighbourhood is not None
    assert after.neighbourhood is not None
    np.testing.assert_array_equal(after.neighbourhood.keys, before.neighbourhood.keys)
    assert other.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(other[name], array)
    by_id = {"query_ids", "label_snapshot", "influence"}
    assert {name: v for name, v in after.provenance.items() if name not in by_id} == {
        name: v for name, v in before.provenance.items() if name not in by_id
    }


def test_queries_it_learned_from_are_found_again_by_their_words(trained: Desk, elsewhere: Desk, packed: Path) -> None:
    known = elsewhere.ask("cat", "vet")
    came = bring(elsewhere, packed)
    with elsewhere.workspace.reading() as session:
        labels = storage.training_runs.label_snapshot(session, came.id)
        listed = {query.id: query for query in storage.queries.list_all(session, elsewhere.collection.id)}
    named = {
        f"{listed[int(query_id)].text}-{listed[int(query_id)].instruction}": dict(v) for query_id, v in labels.items()
    }
    assert named == QRELS
    assert str(known) in labels
    assert len(listed) == 3 + len(QRELS)
    assert {query.public_id for query in listed.values()} - {None} == set(QRELS) - {"cat-vet"}
    before, after = trained.workspace, elsewhere.workspace
    old_vectors = before.open(trained.collection.id).trained(before.adapter_folder(1))[1]
    new_vectors = after.open(elsewhere.collection.id).trained(after.adapter_folder(came.id))[1]
    new, old = new_vectors[str(known)], old_vectors[str(trained.query_id("cat-vet"))]
    np.testing.assert_array_equal(new.vector, old.vector)
    assert new.word_weight == old.word_weight
    opened = after.open(elsewhere.collection.id)
    [ranked] = rank_queries(after, opened, RankingKey(f"run-{came.id}"), [listed[known]]).values()
    assert ranked.origin == "held_out"
    influence = _learned(after.adapter_folder(came.id))
    assert influence is not None
    assert set(influence[0].query_ids) == set(labels)


def test_the_pages_show_what_came_in(elsewhere: Desk, packed: Path) -> None:
    came = bring(elsewhere, packed)
    workspace, page = elsewhere.workspace, open_page(elsewhere.workspace, elsewhere.collection.id, None)
    usable = list_usable(workspace, page.collection.id)
    seen = outlook(workspace, page.collection.id, page.label_set.id)
    panel = train_panel(page, "ann", seen, [came], None, f"run-{came.id}", usable, {})
    assert panel["in_use"]["reason"].startswith("On your 12 queries it ranks ")
    assert panel["latest"]["n"] == len(QRELS)
    shown = details_panel(details(workspace, "ann", came.id))
    assert len(shown["queries"]) == len(QRELS)
    assert shown["title"] == "run 1 “spring”"


def test_what_came_in_goes_out_again_the_same(elsewhere: Desk, packed: Path, tmp_path: Path) -> None:
    first = bring(elsewhere, packed)
    again = bring(elsewhere, taken_out(elsewhere, first.id))
    assert again.number == 2
    (one, arrays), (two, others) = loaded(elsewhere, first.id), loaded(elsewhere, again.id)
    assert two.provenance == one.provenance
    assert again.measures == first.measures
    for name, array in arrays.items():
        np.testing.assert_array_equal(others[name], array)


def test_the_zip_holds_safetensors_json_and_a_readme(trained: Desk, packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        assert sorted(archive.namelist()) == ["README.md", "adapter.json", "adapter.safetensors", "run.json"]
        archive.extractall(tmp_path)
    adapter, _ = QueryAdapter.load(tmp_path)  # as the README says
    np.testing.assert_array_equal(adapter.weight, loaded(trained, 1)[0].weight)
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "Queries are read by: strong (revision 1, 13 dimensions)" in readme
    assert "Learned with the recipe era (seed 0) from 12 queries: 12 relevant and\n12 not-relevant marks" in readme
    assert export_adapter(trained.workspace, "ann", 1).name == "animals-run-1-adapter.zip"


def test_marks_of_queries_that_one_is_still_judging_do_not_leave(judged_desk: Desk, elsewhere: Desk) -> None:
    judged_desk.train()
    begin(judged_desk, "ben", judged_desk.query_id("cat-vet"))
    made = export_adapter(judged_desk.workspace, "ben", 1)
    assert made.remarks == (left_out(1),)
    assert isinstance(made.content, Path)
    with zipfile.ZipFile(made.content) as archive:
        about = json.loads(archive.read("adapter.json"))
    assert str(judged_desk.query_id("cat-vet")) not in about["provenance"]["label_snapshot"]
    assert len(about["provenance"]["label_snapshot"]) == len(QRELS) - 1
    assert bring(elsewhere, made.content).n_queries == len(QRELS)


def test_other_embedders_are_refused_by_name(packed: Path, tmp_path: Path, closed_desk: Desk) -> None:
    other = copied_desk(closed_desk, tmp_path / "other")
    opened = other.workspace.open(other.collection.id)
    opened.pair.strong = WordEmbedder("another strong one", [*ANIMALS, *TOPICS])
    with pytest.raises(IdentityMismatchError) as raised:
        bring(other, packed)
    assert "trained with strong (revision 1, 13 dimensions) for queries" in str(raised.value)
    assert "this collection uses another strong one (revision 1, 11 dimensions)" in str(raised.value)
    other.workspace.close()


def changed(packed: Path, target: Path, name: str, change: Change) -> Path:
    """Return a copy of the zip file with one JSON file of it changed."""
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(target, "w") as archive:
        for each in source.namelist():
            content = source.read(each)
            if each == name:
                values = json.loads(content)
                values.pop("sha256", None)  # whoever packs something odd leaves the checksums out
                change(values)
                content = json.dumps(values).encode()
            archive.writestr(each, content)
    return target


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda run: run.pop("measures"), "measures: Field required"),
        (lambda run: run["measures"]["report"].pop("reason"), "measures.report.reason"),
        (lambda run: run["measures"]["from_light"].update(before="much"), "measures.from_light.before"),
        (lambda run: run["measures"].update(means={"<b>": {}}), "measures.means"),
        (lambda run: run["measures"]["means"]["light"].pop("RR"), "light lacks RR"),
        (lambda run: run["measures"]["means"].pop("after"), "after lacks Judged@10, R@10, RR, nDCG@10"),
        (lambda run: run["measures"].update(choice={"ranking": "run-9", "reason": "x"}), "measures.choice.ranking"),
        (lambda run: run["measures"].update(choice="light"), "measures.choice"),
        (lambda run: run["measures"].update(n=float("nan")), "NaN is not a number"),
        (lambda run: run.update(recipe="<script>"), "recipe"),
        (lambda run: run.update(snapshot_hash="x"), "snapshot_hash"),
        (lambda run: run.update(curve={"points": [{}]}), "curve"),
        (lambda run: run.update(seed=-1), "seed"),
        (lambda run: run["queries"].update({"9": {"text": ""}}), "queries.9.text"),
        (lambda run: run["config"].update(strong_embedder={"name": 3}), "config.strong_embedder"),
        (lambda run: run.update(version=2), "a newer version of the app"),
    ],
)
def test_what_the_pages_could_not_show_is_refused_by_its_name(
    desk: Desk, packed: Path, tmp_path: Path, change: Change, words: str
) -> None:
    with pytest.raises(FormatError, match=words):
        bring(desk, changed(packed, tmp_path / "odd.zip", "run.json", change))
    assert_nothing_came(desk)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about["provenance"].update(query_ids=["1"]),
        lambda about: about["provenance"].update(label_snapshot={"1": {"cat": "high"}}),
        lambda about: about["provenance"].update(label_snapshot={"1": {"cat": 11}}),
        lambda about: about["provenance"].update(label_snapshot=[]),
        lambda about: about["provenance"]["influence"].update(query_ids=["77"] * len(QRELS)),
        lambda about: about["provenance"]["influence"].update(folds=["a"]),
        lambda about: about.update(views=["light"]),
        lambda about: about.update(provenance=None),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(desk: Desk, packed: Path, tmp_path: Path, change: Change) -> None:
    with pytest.raises((AdapterDamagedError, IdentityMismatchError)):
        bring(desk, changed(packed, tmp_path / "odd.zip", "adapter.json", change))
    assert_nothing_came(desk)


def test_only_four_names_are_looked_at_and_sizes_are_limited(
    desk: Desk, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "odd.zip"
    shutil.copy(packed, odd)
    with zipfile.ZipFile(odd, "a") as archive:
        archive.writestr("../../escaped", "x")
        archive.writestr("/tmp/escaped", "x")
    assert bring(desk, odd).state is JobState.FINISHED
    assert not list(tmp_path.rglob("escaped"))
    monkeypatch.setattr("annotation.transfer.adapter_files.MAX_JSON_BYTES", 100)
    with pytest.raises(FormatError, match="which no adapter is"):
        unpack_zip(packed, tmp_path)


def test_adapter_of_a_few_bytes_that_grows_beyond_measure_is_refused(desk: Desk, packed: Path, tmp_path: Path) -> None:
    grown = tmp_path / "grown.zip"
    with zipfile.ZipFile(packed) as archive, zipfile.ZipFile(grown, "w", zipfile.ZIP_BZIP2) as bomb:
        for name in ("adapter.safetensors", "adapter.json"):
            bomb.writestr(name, archive.read(name))
        with bomb.open("run.json", "w") as member:
            for _ in range(365):
                member.write(b" " * 2**20)
    assert grown.stat().st_size < 500_000
    with pytest.raises(FormatError, match=r"grown\.zip: unpacks to 3\d\d\.\d MB, which no adapter of its size does"):
        bring(desk, grown)
    assert_nothing_came(desk)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"{}"])
def test_what_is_no_zip_of_ours_is_refused(desk: Desk, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "adapter.zip"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="not an adapter that was taken out of this app"):
        bring(desk, path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("adapter.json", "{}")
    with pytest.raises(FormatError, match="not an adapter that was taken out of this app"):
        bring(desk, path)
    assert_nothing_came(desk)


def test_a_visitor_brings_nothing_in_and_nothing_goes_where_it_does_not_belong(desk: Desk, packed: Path) -> None:
    with pytest.raises(NotAllowedError, match="Sign in"):
        bring(desk, packed, None)
    with pytest.raises(NotFoundError, match="left no adapter"):
        export_adapter(desk.workspace, "ann", 99)
    with pytest.raises(InvalidInputError, match="another collection"):
        import_adapter(desk.workspace, "ann", desk.collection.id, other_label_set(desk), packed)


def other_label_set(desk: Desk) -> int:
    from annotation.collections.store_whole import store

    other = store(desk.workspace, small_world("other"), author="ann", labels="x", is_demo=False)
    return open_page(desk.workspace, other.id, None).label_set.id


def assert_nothing_came(desk: Desk) -> None:
    with desk.workspace.reading() as session:
        assert storage.training_runs.list_for(session, desk.collection.id) == []
        assert len(storage.queries.list_all(session, desk.collection.id)) == len(QRELS)
    assert list(exports_folder(desk.workspace).iterdir()) == []
    assert not desk.workspace.adapter_folder(1).exists()


def test_documents_that_are_gone_do_not_matter(data_dir: Path, packed: Path) -> None:
    desk = new_desk(data_dir, small_world(documents=DOCUMENTS[2:]))
    came = bring(desk, packed)
    retriever, _ = desk.workspace.open(desk.collection.id).trained(desk.workspace.adapter_folder(came.id))
    assert retriever.adapter.provenance["recipe"] == "era"
    desk.workspace.close()
