"""Each collection with its own embedders: loading them, changing them, and what that leaves as it is."""

import gc
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import storage.collections
from annotation.collections.embedders import change_plan, change_query_embedder, embedders_of
from annotation.collections.preparation import prepare
from annotation.collections.store_whole import store
from annotation.errors import InvalidInputError, NotAllowedError, NotReadyError
from annotation.retrieval import loaded_pairs
from annotation.workspace import Workspace
from era.encoders.base import EmbedderPair
from era.encoders.loading import load_pair
from era.encoders.spec import BUNDLED, EmbedderSpec, PairSpec
from era.errors import EmbedderUnavailableError, IdentityMismatchError
from era.types import Query
from storage.errors import UnknownRecord
from storage.records import CollectionRecord, JobState
from tests.worlds.desk import PATIENCE_S, Desk, settings_at, small_world, wait_until
from tests.worlds.models import save_static
from tests.worlds.words import ANIMALS, QRELS, READERS, TOPICS, WordEmbedder


def hub(name: str) -> EmbedderSpec:
    return EmbedderSpec("sentence-transformers", name)


OTHER_QUERIES = PairSpec(hub("other/strong"), BUNDLED.light)
OTHER_DOCUMENTS = PairSpec(BUNDLED.strong, hub("other/light"))


class Shelf:
    """Loads made-up embedders by what they are called, and writes down what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[PairSpec] = []
        self.unreachable: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()

    def load(self, spec: PairSpec, device: str) -> EmbedderPair:
        assert device == "cpu"
        self.asked.append(spec)
        assert self.gate.wait(PATIENCE_S)
        for side in (spec.strong, spec.light):
            if side.label in self.unreachable:
                raise EmbedderUnavailableError(f"{side.label} cannot be reached. Choose the bundled ones.")
        return EmbedderPair(
            WordEmbedder(spec.strong.label, [*ANIMALS, *TOPICS, *READERS]),
            WordEmbedder(spec.light.label, [*ANIMALS, *TOPICS]),
        )


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def workspace(data_dir: Path, shelf: Shelf) -> Iterator[Workspace]:
    made = Workspace(settings_at(data_dir), shelf.load)
    yield made
    made.close()


def add(workspace: Workspace, name: str, spec: PairSpec | None = None) -> CollectionRecord:
    collection = store(workspace, small_world(name, QRELS), author="ann", labels="Ann's labels", is_demo=False)
    if spec is not None:
        with workspace.writing() as session:
            storage.collections.set_embedders(session, collection.id, spec.to_json())
    return collection


def names(workspace: Workspace, collection_id: int) -> tuple[str, str]:
    pair = workspace.open(collection_id).pair
    return pair.strong.identity.name, pair.light.identity.name


def state_of(workspace: Workspace) -> str:
    return workspace.readiness.state


def test_every_collection_gets_its_own_embedders_and_equal_ones_are_loaded_once(
    workspace: Workspace, shelf: Shelf
) -> None:
    first, second = add(workspace, "one", OTHER_QUERIES), add(workspace, "two")
    third, fourth = add(workspace, "three", OTHER_DOCUMENTS), add(workspace, "four", OTHER_QUERIES)
    prepare(workspace)
    assert workspace.readiness.state == "ready"
    assert names(workspace, first.id) == ("other/strong", "WordLlama 256")
    assert names(workspace, second.id) == ("all-MiniLM-L6-v2", "WordLlama 256")
    assert names(workspace, third.id) == ("all-MiniLM-L6-v2", "other/light")
    assert workspace.pair_for(first.id) is workspace.pair_for(fourth.id)
    assert sorted(map(repr, shelf.asked)) == sorted(map(repr, [BUNDLED, OTHER_QUERIES, OTHER_DOCUMENTS]))
    assert [embedders_of(workspace, each.id) for each in (first, second)] == [OTHER_QUERIES, BUNDLED]


def test_embedders_that_cannot_be_reached_leave_the_other_collections_usable(
    workspace: Workspace, shelf: Shelf
) -> None:
    good, bad = add(workspace, "good"), add(workspace, "bad", OTHER_QUERIES)
    shelf.unreachable = {"other/strong"}
    prepare(workspace)
    assert workspace.readiness.state == "ready"
    assert workspace.opened(good.id) is not None
    for _ in range(2):  # asked once only: a hub that cannot be reached takes long to say so
        with pytest.raises(NotReadyError, match="other/strong cannot be reached"):
            workspace.open(bad.id)
    assert shelf.asked.count(OTHER_QUERIES) == 1


def test_embedders_that_could_not_be_reached_are_tried_again_after_a_while(
    workspace: Workspace, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = add(workspace, "bad", OTHER_QUERIES)
    shelf.unreachable = {"other/strong"}
    prepare(workspace)
    assert state_of(workspace) == "failed"
    assert "other/strong cannot be reached" in workspace.readiness.message
    monkeypatch.setattr(loaded_pairs, "_TRY_AGAIN_AFTER_S", 0.0)
    with pytest.raises(NotReadyError, match="cannot be reached"):
        workspace.open(collection.id)
    assert shelf.asked == [OTHER_QUERIES] * 2
    shelf.unreachable = set()
    assert names(workspace, collection.id) == ("other/strong", "WordLlama 256")
    assert workspace.readiness.state == "ready"


def test_embedders_that_were_stored_but_cannot_be_read_leave_the_other_collections_usable(
    workspace: Workspace,
) -> None:
    good, bad = add(workspace, "good"), add(workspace, "bad")
    with workspace.writing() as session:
        storage.collections.set_embedders(session, bad.id, {"strong": {"kind": "of the future"}, "light": {}})
    prepare(workspace)
    assert workspace.opened(good.id) is not None
    with pytest.raises(NotReadyError, match="kind of an embedder is 'of the future'"):
        workspace.open(bad.id)


def test_a_page_does_not_wait_for_embedders_that_another_thread_loads(workspace: Workspace, shelf: Shelf) -> None:
    good, slow = add(workspace, "good"), add(workspace, "slow", OTHER_QUERIES)
    preparation = threading.Thread(target=prepare, args=(workspace,))
    shelf.gate.clear()
    preparation.start()
    wait_until(lambda: len(shelf.asked), lambda n: n == 1)
    with pytest.raises(NotReadyError, match="still being loaded"):
        workspace.open(good.id)
    shelf.gate.set()
    preparation.join(PATIENCE_S)
    assert names(workspace, slow.id) == ("other/strong", "WordLlama 256")


def test_another_query_embedder_leaves_the_index_as_it_is(workspace: Workspace, shelf: Shelf) -> None:
    collection, other = add(workspace, "one"), add(workspace, "two", OTHER_DOCUMENTS)
    prepare(workspace)
    before = workspace.open(collection.id)
    fingerprint = before.index.fingerprint
    files = sorted(workspace.collection_folder(collection.id).glob("index*/*"))
    written = [file.stat().st_mtime_ns for file in files]
    change_query_embedder(workspace, "ann", collection.id, OTHER_QUERIES)
    after = workspace.open(collection.id)
    assert after.index is before.index
    assert after.index.fingerprint == fingerprint
    assert len(files) == 2
    assert [file.stat().st_mtime_ns for file in files] == written
    assert names(workspace, collection.id) == ("other/strong", "WordLlama 256")
    assert names(workspace, other.id) == ("all-MiniLM-L6-v2", "other/light")
    light = after.pair.light
    assert isinstance(light, WordEmbedder)
    assert light.texts_read == []  # no document again
    assert after.aligned().search(Query("", "cat feeding"), 1)[0].doc_id == "cat-feeding"


def test_another_query_embedder_stays_after_a_restart(workspace: Workspace, shelf: Shelf) -> None:
    collection = add(workspace, "one")
    prepare(workspace)
    change_query_embedder(workspace, "ann", collection.id, OTHER_QUERIES)
    fingerprint = workspace.open(collection.id).index.fingerprint
    workspace.close()
    again = Workspace(workspace.settings, shelf.load)
    prepare(again)
    assert names(again, collection.id) == ("other/strong", "WordLlama 256")
    assert again.open(collection.id).index.fingerprint == fingerprint
    again.close()


def test_embedders_that_no_collection_uses_any_more_are_let_go(workspace: Workspace) -> None:
    first, second = add(workspace, "one"), add(workspace, "two")
    prepare(workspace)
    gone = weakref.ref(workspace.pair_for(first.id))
    change_query_embedder(workspace, "ann", first.id, OTHER_QUERIES)
    gc.collect()
    assert gone() is not None  # the second collection uses them
    change_query_embedder(workspace, "ann", second.id, OTHER_QUERIES)
    gc.collect()
    assert gone() is None


def test_embedders_stay_as_they_were_when_the_new_ones_cannot_be_loaded(workspace: Workspace, shelf: Shelf) -> None:
    collection = add(workspace, "one")
    prepare(workspace)
    before = workspace.open(collection.id)
    shelf.unreachable = {"other/strong"}
    with pytest.raises(EmbedderUnavailableError, match="cannot be reached"):
        change_query_embedder(workspace, "ann", collection.id, OTHER_QUERIES)
    assert embedders_of(workspace, collection.id) == BUNDLED
    assert workspace.open(collection.id) is before


def test_a_collection_whose_embedder_is_gone_can_be_given_another_one(workspace: Workspace, shelf: Shelf) -> None:
    collection = add(workspace, "one", OTHER_QUERIES)
    shelf.unreachable = {"other/strong"}
    prepare(workspace)
    assert state_of(workspace) == "failed"
    change_query_embedder(workspace, "ann", collection.id, BUNDLED)
    assert names(workspace, collection.id) == ("all-MiniLM-L6-v2", "WordLlama 256")
    assert workspace.readiness.state == "ready"


def test_another_document_embedder_is_not_just_switched_on(workspace: Workspace) -> None:
    collection = add(workspace, "one")
    prepare(workspace)
    with pytest.raises(InvalidInputError, match="needs a new index"):
        change_query_embedder(workspace, "ann", collection.id, OTHER_DOCUMENTS)
    with pytest.raises(IdentityMismatchError, match="was made with WordLlama 256"):
        workspace.use_pair(collection.id, OTHER_DOCUMENTS)
    assert embedders_of(workspace, collection.id) == BUNDLED


def test_embedders_are_changed_only_by_somebody_who_is_signed_in_and_where_there_is_a_collection(
    workspace: Workspace,
) -> None:
    collection = add(workspace, "one")
    prepare(workspace)
    with pytest.raises(NotAllowedError, match="Sign in"):
        change_query_embedder(workspace, None, collection.id, OTHER_QUERIES)
    for ask in (change_plan, lambda *given: change_query_embedder(given[0], "ann", *given[1:])):
        with pytest.raises(UnknownRecord):
            ask(workspace, 99, OTHER_QUERIES)


def test_a_training_run_can_be_used_again_once_its_embedders_are_back(workspace: Workspace) -> None:
    collection = add(workspace, "one")
    prepare(workspace)
    strong, light = workspace.pair_for(collection.id).strong, workspace.pair_for(collection.id).light
    desk = Desk(workspace, strong, light, collection)  # type: ignore[arg-type]
    run = desk.train()
    assert run.state is JobState.FINISHED, run.message
    folder = workspace.adapter_folder(run.id)
    plan = change_plan(workspace, collection.id, OTHER_QUERIES)
    assert not plan.keeps_training_runs
    assert plan.n_training_runs == 1
    assert "1 training run made with all-MiniLM-L6-v2 over WordLlama 256 cannot be used" in plan.text
    change_query_embedder(workspace, "ann", collection.id, OTHER_QUERIES)
    with pytest.raises(IdentityMismatchError, match="made with all-MiniLM-L6-v2, but other/strong is loaded"):
        workspace.open(collection.id).trained(folder)
    second = desk.train()
    workspace.open(collection.id).trained(workspace.adapter_folder(second.id))
    change_query_embedder(workspace, "ann", collection.id, BUNDLED)
    workspace.open(collection.id).trained(folder)


def test_exchanging_opens_the_collection_anew_and_lets_nobody_open_it_meanwhile(workspace: Workspace) -> None:
    collection = add(workspace, "one")
    prepare(workspace)
    before = workspace.open(collection.id)
    opened: list[object] = []
    workspace.close_opened(collection.id)
    with workspace.exchanging(collection.id):
        waiting = threading.Thread(target=lambda: opened.append(workspace.open(collection.id)))
        waiting.start()
        waiting.join(0.2)
        assert opened == []
    waiting.join(PATIENCE_S)
    assert opened == [workspace.open(collection.id)]
    assert opened[0] is not before


def test_the_plan_says_that_nothing_changes_for_other_batches(workspace: Workspace) -> None:
    collection = add(workspace, "one")
    prepare(workspace)
    same = PairSpec(replace(BUNDLED.strong, batch_size=2), BUNDLED.light)
    plan = change_plan(workspace, collection.id, same)
    assert (plan.changes_queries, plan.changes_documents, plan.needs_new_index) == (False, False, False)
    assert (plan.n_texts, plan.n_tokens, plan.dollars, plan.keeps_training_runs) == (0, 0, None, True)
    assert plan.text == "Nothing changes in what the models say; the index stays as it is."


def test_the_plan_for_another_query_embedder_keeps_the_index(workspace: Workspace) -> None:
    collection = add(workspace, "one")
    prepare(workspace)
    plan = change_plan(workspace, collection.id, OTHER_QUERIES)
    assert (plan.changes_queries, plan.changes_documents, plan.needs_new_index) == (True, False, False)
    assert plan.index_fingerprint == workspace.open(collection.id).index.fingerprint
    assert plan.n_texts == 16  # all documents of the small world, which are fewer than the share of 1,000
    assert plan.seconds is None  # not loaded yet
    assert plan.text == (
        "The index stays as it is: only queries are read by another model. other/strong reads 16 documents. "
        "How long that takes shows once the models are loaded."
    )
    assert embedders_of(workspace, collection.id) == BUNDLED


def test_the_plan_for_another_document_embedder_is_a_new_index(workspace: Workspace) -> None:
    collection = add(workspace, "one")
    prepare(workspace)
    plan = change_plan(workspace, collection.id, OTHER_DOCUMENTS)
    assert (plan.changes_queries, plan.changes_documents, plan.needs_new_index) == (False, True, True)
    assert plan.n_texts == 16
    assert "All 16 documents are read again into a new index. The old one is used until" in plan.text


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize(("price", "words"), [(None, "fill in"), (20.0, "less than a cent"), (2e4, "about $2.64")])
def test_the_plan_for_an_endpoint_says_what_it_costs(
    workspace: Workspace, price: float | None, words: str, is_open: bool
) -> None:
    collection = add(workspace, "one")
    if is_open:
        prepare(workspace)
    endpoint = EmbedderSpec("openai", "big", document_prompt="1234", price_per_million_tokens=price)
    plan = change_plan(workspace, collection.id, PairSpec(endpoint, endpoint))
    # "1234cat feeding" has 15 bytes, 4 tokens; so have all with 13 to 16 bytes; trout makes 17, so 5 tokens, twice
    assert plan.n_tokens == 2 * (14 * 4 + 2 * 5)  # each side reads all 16
    assert plan.dollars == (None if price is None else pytest.approx(132 * price / 1e6))
    assert words in plan.text
    assert "How long" not in plan.text


def test_the_plan_measures_embedders_that_are_loaded(tmp_path: Path) -> None:
    folder = save_static(tmp_path / "tiny")
    pair = PairSpec(EmbedderSpec("sentence-transformers", str(folder)), BUNDLED.light)
    workspace = Workspace(settings_at(tmp_path / "data"), load_pair)
    first, second = add(workspace, "one", pair), add(workspace, "two", PairSpec(BUNDLED.light, BUNDLED.light))
    prepare(workspace)
    assert workspace.readiness.state == "ready"
    plan = change_plan(workspace, second.id, pair)
    assert plan.seconds is not None
    assert 0 < plan.seconds < 60
    assert "less than a minute" in plan.text
    assert names(workspace, first.id)[0] == "tiny"
    workspace.close()
