"""What version 0.5.0 wrote opens and works: real files of it, made with the made-up encoders of these tests."""

import shutil
from pathlib import Path

import pytest

import storage.queries
import storage.training_runs
from annotation.collections.preparation import prepare
from annotation.comparing.rank import rank_queries
from annotation.ranking.rankers import RankingKey, default_ranker
from annotation.transfer.adapters import import_adapter
from annotation.workspace import Workspace
from era import Collection, TrainedAdapter
from era.cli.program import main
from era.encoders.base import EmbedderPair
from era.progress import no_progress
from storage.records import JobState
from tests.worlds.desk import new_desk, settings_at, small_world
from tests.worlds.words import DOCUMENTS, QRELS, WordEmbedder, light_embedder, strong_embedder, word_pair

FILES = Path(__file__).parent / "files" / "0.5.0"
CONTENTS = {document.content for document in DOCUMENTS}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the files: opening may add to them."""
    return Path(shutil.copytree(FILES, tmp_path / "old"))


def test_an_index_folder_and_its_adapter_rank_as_they_did(old: Path) -> None:
    pair = word_pair()
    docs = Collection.open(old / "animals.index", pair, progress=no_progress)
    adapter = TrainedAdapter.load(old / "cli.adapter")
    hits = docs.search("cat", "vet", adapter=adapter, k=3, words=False)
    assert [hit.doc_id for hit in hits] == ["cat-illness", "cat-feeding", "dog-illness"]
    assert [hit.score for hit in hits] == pytest.approx([0.7227545, 0.5929563, -0.0267385], abs=1e-6)  # as 0.5.0 said
    assert repr(adapter).splitlines()[4].split()[-4:-2] == ["1.000", "1.000"]
    measured = docs.evaluate({"light": None, "after": adapter}, measures="nDCG@10", words=False)
    assert measured.means()["nDCG@10"].to_dict() == {"light": pytest.approx(0.8155, abs=1e-4), "after": 1.0}
    assert isinstance(pair.strong, WordEmbedder)
    docs.align(n_texts=len(docs))
    assert not CONTENTS & {*pair.strong.texts_read}  # what the strong encoder had read is still known


def test_the_commands_read_them_too(
    old: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = word_pair()
    monkeypatch.setattr("era.encoders.loading.load_pair", lambda spec, device, cache: pair)
    words = ["evaluate", str(old / "cli.adapter"), "--index", str(old / "animals.index"), "--baseline", "light"]
    assert main([*words, "--no-words", "--measures", "nDCG@10"]) == 0
    assert "nDCG@10       1.0000  was 0.8155" in capsys.readouterr().out


def test_a_data_folder_opens_with_its_marks_and_its_training_run(old: Path) -> None:
    strong, light = strong_embedder(), light_embedder()
    workspace = Workspace(settings_at(old / "data"), lambda spec, device: EmbedderPair(strong, light))
    prepare(workspace)
    opened = workspace.open(1)
    assert list(opened.corpus) == DOCUMENTS
    with workspace.reading() as session:
        [run] = storage.training_runs.list_for(session, 1)
        labels = storage.training_runs.label_snapshot(session, run.id)
        queries = {str(query.id): query for query in storage.queries.list_all(session, 1)}
    assert run.state is JobState.FINISHED
    assert {queries[query_id].public_id: grades for query_id, grades in labels.items()} == QRELS
    assert len(workspace.standings(run.label_set_id).qrels()) == len(QRELS)
    assert "run-1" in default_ranker(workspace, 1, run.label_set_id)
    [query] = [each for each in queries.values() if each.public_id == "cat-vet"]
    [ranked] = rank_queries(workspace, opened, RankingKey("run-1"), [query]).values()
    assert ranked.origin == "held_out"
    opened.alignment_texts()
    assert not CONTENTS & {*strong.texts_read, *light.texts_read}
    workspace.close()


def test_an_adapter_that_was_taken_out_comes_in(old: Path, tmp_path: Path) -> None:
    desk = new_desk(tmp_path / "new", small_world())
    came = import_adapter(desk.workspace, "ann", desk.collection.id, desk.label_set_id, old / "app-adapter.zip")
    assert (came.state, came.n_queries) == (JobState.FINISHED, len(QRELS))
    saved = TrainedAdapter.load(old / "app-adapter.zip")
    assert len(saved.queries) == len(saved.held_out) == len(QRELS)
    desk.workspace.close()
