"""Models out of the app: a zip that sentence-transformers loads, and a push that a local hub takes or refuses."""

import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import HfApi
from sentence_transformers import SentenceTransformer

import storage.jobs
import storage.training_runs
from annotation.collections.preparation import prepare
from annotation.collections.store_whole import store
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.transfer.files import exports_folder
from annotation.transfer.models import HubError, PushPlan, export_model, push_model
from annotation.workspace import Workspace
from era.adapter import QueryAdapter
from era.encoders.base import EmbedderPair
from era.encoders.sentence_transformer import SentenceTransformerEmbedder
from era.errors import NotExportableError
from era.export.sentence_model import instruction_prompt
from storage.errors import UnknownRecord
from storage.records import JobKind, NewTrainingRun, TrainingRunRecord
from tests.worlds.desk import settings_at, small_world
from tests.worlds.models import tiny_table, tiny_transformer
from tests.worlds.words import QRELS, QUERIES

MEASURES: dict[str, Any] = {
    "n": 12,
    "means": {
        name: {"nDCG@10": 0.25, "R@10": 0.5, "RR": 0.5, "Judged@10": 1.0} for name in ("light", "aligned", "after")
    },
    "report": {"reason": "It helped.", "is_changed": True},
}


@dataclass(frozen=True)
class World:
    """A workspace over two tiny models, and a finished training run of each kind."""

    workspace: Workspace
    pair: EmbedderPair
    collection_id: int
    single: TrainingRunRecord
    dual: TrainingRunRecord


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("models")
    pair = EmbedderPair(
        SentenceTransformerEmbedder(tiny_transformer(folder / "bert"), "tiny/bert", "1"),
        SentenceTransformerEmbedder(tiny_table(1), "a table", "2"),
    )
    workspace = Workspace(settings_at(folder / "data"), lambda spec, device: pair)
    collection = store(workspace, small_world(qrels=QRELS), author="ann", labels="Ann's labels", is_demo=False)
    prepare(workspace)
    single = finished(workspace, collection.id, pair, ("instructed",), "era-single")
    dual = finished(workspace, collection.id, pair, ("mean", "light"), "era")
    yield World(workspace, pair, collection.id, single, dual)
    workspace.close()


def finished(
    workspace: Workspace, collection_id: int, pair: EmbedderPair, views: tuple[Any, ...], recipe: str
) -> TrainingRunRecord:
    """Store a finished training run with a random adapter."""
    opened = workspace.open(collection_id)
    rng, m = np.random.default_rng(5), 12
    weight = rng.normal(size=(sum(12 if view == "light" else 16 for view in views), m)).astype(np.float32)
    about = {
        "recipe": recipe,
        "strong_embedder": asdict(pair.strong.identity),
        "light_embedder": asdict(pair.light.identity),
        "index_fingerprint": opened.index.fingerprint,
        "corpus_fingerprint": opened.corpus.fingerprint,
        "versions": {"torch": "2.13.0"},
        "query_ids": [],
    }
    new = NewTrainingRun(collection_id, 1, recipe, 3, {}, {}, "ab" * 32, 12, 12, 11, "ann")
    with workspace.writing() as session:
        queued = storage.training_runs.create_queued(session, new)
        assert storage.jobs.claim_next(session, {JobKind.TRAIN}) is not None
        storage.training_runs.set_outcome(session, queued.id, measures=MEASURES, device="none")
        storage.jobs.finish(session, queued.job_id)
        run = storage.training_runs.get(session, queued.id)
    QueryAdapter(views, weight, rng.normal(size=m).astype(np.float32), about).save(
        workspace.adapter_folder(run.id), {"held_out": np.zeros((0, m), np.float32)}
    )
    return run


def test_the_zip_holds_a_model_that_searches_as_the_app_does(world: World, tmp_path: Path) -> None:
    made = export_model(world.workspace, "ann", world.single.id)
    assert isinstance(made.content, Path)
    assert made.name == "animals-run-1-query-encoder.zip"
    with zipfile.ZipFile(made.content) as archive:
        archive.extractall(tmp_path)
    model = SentenceTransformer(str(tmp_path / "animals-run-1-query-encoder"), device="cpu")
    opened = world.workspace.open(world.collection_id)
    retriever, _ = opened.trained(world.workspace.adapter_folder(world.single.id))
    vectors = np.concatenate(
        [model.encode_query([query.text], prompt=instruction_prompt(query.instruction)) for query in QUERIES]
    )
    np.testing.assert_allclose(vectors, retriever.query_vectors(QUERIES), atol=1e-5, rtol=0)
    doc_ids = list(opened.corpus.doc_ids)
    indexed = opened.index.vectors(doc_ids)
    np.testing.assert_allclose(model.encode_document(opened.corpus.contents(doc_ids)), indexed, atol=1e-5, rtol=0)


def test_the_card_says_what_it_learned_from(world: World) -> None:
    made = export_model(world.workspace, "ann", world.single.id)
    assert isinstance(made.content, Path)
    with zipfile.ZipFile(made.content) as archive:
        card = archive.read("animals-run-1-query-encoder/README.md").decode()
    assert "# Query encoder for animals (run 1)" in card
    assert "Labels: 12 queries with 12 relevant and 11 not-relevant marks" in card
    assert "ab" * 32 in card
    assert "base_model:\n- tiny/bert\n---" in card
    assert "| nDCG@10 | 0.2500 | 0.2500 | 0.2500 |" in card
    assert "SentenceTransformer('animals-run-1-query-encoder')" in card


def test_recipes_that_are_no_single_model_say_so_before_anything_is_written(world: World) -> None:
    n_before = len(list(exports_folder(world.workspace).iterdir())) if exports_folder(world.workspace).exists() else 0
    with pytest.raises(NotExportableError, match="train with the recipe “era-single”"):
        export_model(world.workspace, "ann", world.dual.id)
    with pytest.raises(NotExportableError, match="era-single"):
        push_model(world.workspace, "ann", world.dual.id, "ann/birds", is_dry_run=True)
    assert len(list(exports_folder(world.workspace).iterdir())) == n_before
    with pytest.raises(UnknownRecord, match="no training run with the id 99"):
        export_model(world.workspace, "ann", 99)


@dataclass
class Hub:
    """A web server that speaks as much of the Hub's protocol as a push needs, and keeps what it was sent."""

    status: int = 200
    is_private: bool = True
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, authorization
    made: dict[str, Any] = field(default_factory=dict)
    commit: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, authorization: str, body: bytes) -> tuple[int, Any]:
        self.requests.append((method, path, authorization))
        if self.status != 200:
            return self.status, {"error": "no"}
        if path == "/api/repos/create":
            self.made = json.loads(body)
            return 200, {"url": f"{self.url}/ann/birds", "name": "ann/birds"}
        if path.startswith("/api/models/ann/birds/preupload/"):
            files = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                     for each in json.loads(body)["files"]]  # fmt: skip
            return 200, {"files": files}
        if path.startswith("/api/models/ann/birds/commit/"):
            self.commit = [json.loads(line) for line in body.splitlines()]
            return 200, {"commitUrl": f"{self.url}/ann/birds/commit/1", "commitOid": "1" * 40, "hookOutput": ""}
        if path.startswith("/api/models/ann/birds"):
            return 200, {"id": "ann/birds", "private": self.is_private, "tags": [], "siblings": [], "sha": "0" * 40}
        return 200, {"errors": [], "warnings": []}  # the check of the model card


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.split("?")[0]
            status, content = made.answer(self.command, path, self.headers.get("Authorization") or "", body)
            written = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        do_GET = do_POST = do_HEAD = _answer  # noqa: N815 (named by the base class)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()


def push(world: World, hub: Hub, repo_id: str = "ann/birds", **choices: Any) -> PushPlan:
    api = HfApi(endpoint=hub.url, token="hf_secret")
    return push_model(world.workspace, "ann", world.single.id, repo_id, api=api, **choices)


def test_a_dry_run_lists_the_files_and_asks_nobody(world: World, hub: Hub) -> None:
    plan = push(world, hub, is_dry_run=True)
    assert hub.requests == []
    names = [name for name, _ in plan.files]
    assert {"README.md", "modules.json", "router_config.json", "query_0_Transformer/model.safetensors"} <= set(names)
    assert names == sorted(names)
    assert plan.n_bytes == sum(size for _, size in plan.files) > 10_000
    assert (plan.is_dry_run, plan.is_private, plan.url) == (True, True, "https://huggingface.co/ann/birds")
    assert plan.remarks[0].startswith("Nothing was sent.")


def test_a_push_sends_what_the_dry_run_lists(world: World, hub: Hub) -> None:
    planned = push(world, hub, is_dry_run=True)
    plan = push(world, hub)
    assert plan.files == planned.files
    assert (plan.is_dry_run, plan.repo_id, plan.url) == (False, "ann/birds", f"{hub.url}/ann/birds")
    assert (hub.made["name"], hub.made["organization"], hub.made["visibility"]) == ("birds", "ann", "private")
    sent = [each["value"]["path"] for each in hub.commit if each["key"] == "file"]
    assert sorted(sent) == [name for name, _ in plan.files]
    assert hub.commit[0]["value"]["summary"] == "Query encoder adapted with ERA"
    assert {authorization for _, _, authorization in hub.requests} == {"Bearer hf_secret"}


def test_what_should_be_private_is_not_pushed_where_everybody_sees_it(world: World, hub: Hub) -> None:
    hub.is_private = False
    with pytest.raises(HubError, match="everybody can see it, so nothing was pushed"):
        push(world, hub)
    assert hub.commit == []
    assert push(world, hub, is_private=False).is_private is False
    assert hub.made["visibility"] == "public"


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "does not let this machine write"), (403, "hf auth login"), (400, r"answered with an error \(400\)")],
)
def test_a_refusal_is_said_in_words(world: World, hub: Hub, status: int, words: str) -> None:
    hub.status = status
    with pytest.raises(HubError, match=words):
        push(world, hub)


def test_a_hub_that_cannot_be_reached_is_said_in_words(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    api = HfApi(endpoint="http://127.0.0.1:9", token="hf_secret")
    with pytest.raises(HubError, match="cannot be reached from this machine"):
        push_model(world.workspace, "ann", world.single.id, "ann/birds", api=api)


@pytest.mark.parametrize("repo_id", ["", "a/b/c", "../up", "ann/birds.git", "with blank", "-x"])
def test_impossible_names_are_refused(world: World, hub: Hub, repo_id: str) -> None:
    with pytest.raises(InvalidInputError, match="There cannot be a repository named"):
        push(world, hub, repo_id)
    assert hub.requests == []


def test_only_who_runs_the_app_can_push(world: World, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotAllowedError, match="Sign in"):
        push_model(world.workspace, None, world.single.id, "ann/birds")
    shared = world.workspace.settings.model_copy(update={"space_id": "ann/space"})
    monkeypatch.setattr(world.workspace, "settings", shared)
    with pytest.raises(NotAllowedError, match="uses the access token of the machine"):
        push(world, hub)
    assert push(world, hub, is_dry_run=True).is_dry_run
    assert hub.requests == []
