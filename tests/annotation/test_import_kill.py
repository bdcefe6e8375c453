"""A real process, killed in the middle of an import, and what the next one makes of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from annotation.collections.imports import list_jobs, resume_import
from annotation.collections.page import list_collections
from annotation.collections.preparation import prepare
from annotation.workspace import Workspace
from era.encoders.base import EmbedderPair
from era.types import Document
from tests.worlds.desk import PATIENCE_S, settings_at, wait_until
from tests.worlds.importing import CountedEmbedder, ended, left_behind, stored, working, write_documents
from tests.worlds.words import strong_embedder

DOCUMENTS = [Document(f"m{n}", "", f"cat {n}") for n in range(20)]

KILLED = """
import os, signal, sys
from pathlib import Path
from annotation.collections import import_source
from annotation.collections.imports import ImportRequest, start_import
from annotation.collections.preparation import prepare
from annotation.workspace import Workspace
from era.index import building as index_building
from era.encoders.base import EmbedderPair
from tests.worlds.desk import settings_at
from tests.worlds.importing import CountedEmbedder, working
from tests.worlds.words import strong_embedder

def kill(n_read):
    if n_read == 12:
        os.kill(os.getpid(), signal.SIGKILL)

import_source.BATCH, index_building._NOTED_EVERY_S = 2, 0.0
data, file = Path(sys.argv[1]), sys.argv[2]
pair = EmbedderPair(strong_embedder(), CountedEmbedder("l", kill))
workspace = Workspace(settings_at(data), lambda spec, device: pair)
prepare(workspace)
with working(workspace) as worker:
    start_import(workspace, "ann", ImportRequest(kind="new", name="many", path=file))
    worker._threads[0].join(60)
"""


def test_import_goes_on_after_its_process_was_killed(data_dir: Path, tmp_path: Path) -> None:
    file = write_documents(tmp_path / "many.jsonl", DOCUMENTS)
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(data_dir), str(file)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    light = CountedEmbedder("l")
    workspace = Workspace(settings_at(data_dir), lambda spec, device: EmbedderPair(strong_embedder(), light))
    prepare(workspace)
    with working(workspace):
        [job] = list_jobs(workspace)
        assert (job.state, job.can_resume) == ("interrupted", True)
        assert list_collections(workspace) == []
        resume_import(workspace, "ann", job.id)
        done = ended(workspace, job.id)
        assert (done.state, done.text) == ("finished", "20 documents")
        assert done.collection_id is not None
        collection_id = done.collection_id
        wait_until(lambda: workspace.opened(collection_id), lambda opened: opened is not None)
    assert [document.doc_id for document in stored(workspace, collection_id)] == [each.doc_id for each in DOCUMENTS]
    assert light.texts_read == [document.content for document in DOCUMENTS[12:]]
    index = workspace.open(collection_id).index
    expected = CountedEmbedder("l").encode_documents([document.content for document in DOCUMENTS])
    assert index.vectors([document.doc_id for document in DOCUMENTS]).tolist() == expected.tolist()
    assert left_behind(workspace) == []
    workspace.close()
