"""A collection goes from the app into the library and back, and nothing is read twice on the way."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import storage.documents
import storage.queries
from annotation.collections.import_source import import_now
from annotation.collections.page import open_page
from annotation.collections.preparation import prepare
from annotation.comparing.rank import rank_queries
from annotation.errors import NotAllowedError
from annotation.ranking.rankers import RankingKey, list_usable
from annotation.training.explain import details
from annotation.training.start import outlook
from annotation.transfer.adapters import import_adapter
from annotation.transfer.collections import export_collection
from annotation.ui.payloads.training import train_panel
from annotation.ui.payloads.training_run import details_panel
from annotation.workspace import Workspace
from era import Collection, TrainedAdapter
from era.encoders.base import EmbedderPair
from era.errors import FormatError
from era.io.opening import open_source
from era.progress import no_progress
from storage.records import JobState
from tests.worlds.desk import Desk, new_desk, settings_at, small_world
from tests.worlds.words import DOCUMENTS, QRELS, WordEmbedder, light_embedder, strong_embedder, word_pair


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The small world with its judgments, aligned."""
    made = new_desk(tmp_path_factory.mktemp("app"), small_world(qrels=QRELS))
    made.workspace.open(made.collection.id).alignment_texts()
    yield made
    made.workspace.close()


@pytest.fixture(scope="module")
def folder(judged: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as it was taken out, unpacked."""
    taken = export_collection(judged.workspace, "ann", judged.collection.id, judged.label_set_id)
    assert (taken.name, taken.remarks) == ("animals-collection.zip", ())
    assert isinstance(taken.content, Path)
    target = tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(taken.content) as archive:
        archive.extractall(target)
    return target / "animals-collection"


def open_in_library(folder: Path, pair: EmbedderPair) -> Collection:
    return Collection.open(folder, pair, progress=no_progress)


def test_the_library_opens_what_the_app_has_taken_out_and_reads_nothing_again(judged: Desk, folder: Path) -> None:
    pair = word_pair()
    docs = open_in_library(folder, pair)
    opened = judged.workspace.open(judged.collection.id)
    assert list(docs.corpus) == DOCUMENTS
    assert docs.index.fingerprint == opened.index.fingerprint
    assert {name: dict(judged) for name, judged in docs.qrels.items()} == QRELS
    assert {query.query_id for query in docs.queries} == set(QRELS)
    query = docs.queries[0]
    in_app = opened.with_words(opened.aligned()).search(query, 5)
    found = docs.search(query, adapter="aligned", k=5)
    assert [hit.doc_id for hit in found] == [doc.doc_id for doc in in_app]
    np.testing.assert_allclose([hit.score for hit in found], [doc.score for doc in in_app], atol=1e-6)
    documents = {document.content for document in DOCUMENTS}
    assert isinstance(pair.strong, WordEmbedder)
    assert isinstance(pair.light, WordEmbedder)
    assert not documents & {*pair.strong.texts_read, *pair.light.texts_read}


def test_an_adapter_of_the_library_goes_into_the_app_with_its_honest_rankings(
    judged: Desk, folder: Path, tmp_path: Path
) -> None:
    learned = open_in_library(folder, word_pair()).fit()
    came = import_adapter(
        judged.workspace, "ann", judged.collection.id, judged.label_set_id, learned.save(tmp_path / "made.zip")
    )
    assert came.state is JobState.FINISHED
    assert came.note.startswith("Imported from made.zip, learned on the command line or in a notebook.")
    assert (came.n_queries, came.recipe, came.author) == (len(QRELS), "era", "ann")
    assert came.measures is not None
    assert came.measures["means"] == learned.measures["means"]
    assert came.measures["choice"]["ranking"] in came.measures["means"]
    opened = judged.workspace.open(judged.collection.id)
    with judged.workspace.reading() as session:
        [query, *_] = storage.queries.list_all(session, judged.collection.id)
    [ranked] = rank_queries(judged.workspace, opened, RankingKey(f"run-{came.id}"), [query]).values()
    assert ranked.origin == "held_out"
    retriever, held_out = opened.trained(judged.workspace.adapter_folder(came.id))
    np.testing.assert_array_equal(retriever.adapter.weight, learned.adapter.weight)
    own = learned.held_out[str(query.public_id)]
    np.testing.assert_array_equal(held_out[str(query.id)].vector, own.vector)
    assert f"run-{came.id}+words" in [each.key for each in list_usable(judged.workspace, judged.collection.id)]
    page = open_page(judged.workspace, judged.collection.id, None)
    seen = outlook(judged.workspace, page.collection.id, page.label_set.id)
    usable = list_usable(judged.workspace, page.collection.id)
    panel = train_panel(page, "ann", seen, [came], None, f"run-{came.id}", usable, {})
    assert panel["latest"]["n"] == len(QRELS)
    assert len(details_panel(details(judged.workspace, "ann", came.id))["queries"]) == len(QRELS)


def test_an_adapter_that_learned_nothing_or_does_not_tell_from_what_is_refused(
    judged: Desk, folder: Path, tmp_path: Path
) -> None:
    docs = open_in_library(folder, word_pair())
    place = judged.workspace, "ann", judged.collection.id, judged.label_set_id
    with pytest.raises(FormatError, match="has learned from no judgments"):
        import_adapter(*place, docs.align().save(tmp_path / "aligned.zip"))
    animals = {"q": "cat", "r": "dog", "s": "newt"}
    secret = docs.fit(animals, {name: [f"{animal}-illness"] for name, animal in animals.items()})
    with pytest.raises(FormatError, match="3 queries whose words neither it nor this collection has, such as 'q'"):
        import_adapter(*place, secret.with_provenance(queries=None).save(tmp_path / "secret.zip"))


def test_an_adapter_from_before_words_were_kept_finds_its_queries_by_their_hashes(
    judged: Desk, folder: Path, tmp_path: Path
) -> None:
    learned = open_in_library(folder, word_pair()).fit()
    old = learned.with_provenance(queries=None, query_hashes=dict(learned.hashes))
    came = import_adapter(
        judged.workspace, "ann", judged.collection.id, judged.label_set_id, old.save(tmp_path / "old.zip")
    )
    assert came.n_queries == len(QRELS)
    saved = TrainedAdapter.load(judged.workspace.adapter_folder(came.id))
    assert len(saved.held_out) == len(QRELS)


def test_the_app_imports_what_the_library_has_indexed_without_reading_it_again(folder: Path, tmp_path: Path) -> None:
    strong, light = strong_embedder(), light_embedder()
    workspace = Workspace(settings_at(tmp_path / "data"), lambda spec, device: EmbedderPair(strong, light))
    collection = import_now(workspace, open_source(folder), "ann", path=folder)
    prepare(workspace)
    opened = workspace.open(collection.id)
    assert list(opened.corpus) == DOCUMENTS
    opened.alignment_texts()
    assert not {document.content for document in DOCUMENTS} & {*strong.texts_read, *light.texts_read}
    workspace.close()


def test_an_index_of_other_documents_is_not_adopted(folder: Path, tmp_path: Path) -> None:
    changed = tmp_path / "animals-collection"
    changed.mkdir()
    for file in folder.rglob("*"):
        target = changed / file.relative_to(folder)
        target.parent.mkdir(exist_ok=True)
        if file.is_file():
            target.write_bytes(file.read_bytes())
    with (changed / "corpus.jsonl").open("a") as stream:
        stream.write('{"id": "new", "text": "trout"}\n')
    light = light_embedder()
    workspace = Workspace(settings_at(tmp_path / "data"), lambda spec, device: EmbedderPair(strong_embedder(), light))
    collection = import_now(workspace, open_source(changed), "ann", path=changed)
    prepare(workspace)
    assert len(workspace.open(collection.id).index) == len(DOCUMENTS) + 1
    assert {document.content for document in DOCUMENTS} <= {*light.texts_read}
    workspace.close()


def test_a_visitor_takes_no_collection_out(judged: Desk) -> None:
    with pytest.raises(NotAllowedError, match="Sign in"):
        export_collection(judged.workspace, None, judged.collection.id, judged.label_set_id)
