"""How fast documents come in, against embedding them alone: `python -m benchmarks.importing --documents 1000000`.

Ours is the whole import as somebody starts it on the page: reading JSON Lines, storing, embedding with the bundled
light embedder, indexing, and showing the collection. The baseline is `encode` of the same texts, which are in memory
already, and `add` to a flat index. Each runs in a process of its own, the two in turns; medians. With `--kill` an
import is killed in the middle and resumed, too.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from benchmarks.environment import describe_environment
from benchmarks.figures import Figure, Target, to_markdown
from benchmarks.fresh_processes import call_in_fresh_process, peak_memory_bytes

_N_WORDS = 50
_N_VOCABULARY = 20_000
_GIBIBYTE = 2**30
_ENOUGH = 0.8  # of the throughput of embedding alone
_MOST_GIBIBYTES = 4.0


def main() -> None:
    """Write the documents, measure both sides in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--kill", action="store_true", help="also kill an import in the middle and resume it")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    arguments = parser.parse_args()
    environment = describe_environment()
    ours: list[dict[str, float]] = []
    plain: list[dict[str, float]] = []
    figures: list[Figure] = []
    with TemporaryDirectory(dir=arguments.folder) as scratch:
        folder = Path(scratch)
        write_documents(folder / "made up.jsonl", arguments.documents)
        for number in tqdm(range(arguments.rounds), file=sys.stderr, desc="rounds"):
            plain.append(call_in_fresh_process("benchmarks.importing", "embed_alone", folder / "made up.jsonl"))
            data = folder / f"data-{number}"
            ours.append(
                call_in_fresh_process("benchmarks.importing", "import_documents", folder / "made up.jsonl", data)
            )
        figures += _figures(arguments.documents, ours, plain)
        if arguments.kill:
            figures += _measure_kill(folder, statistics.median(each["seconds"] for each in ours))
    print(to_markdown(figures, environment, {"rounds": arguments.rounds, "load": os.getloadavg()[0]}, "Importing"))


def write_documents(file: Path, n: int) -> None:
    """Write n documents of 50 words each, drawn as words of a language are: few often, most seldom."""
    letters, draw = "etaoinshrdlucmfwypvbgk", random.Random(0)
    vocabulary = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(_N_VOCABULARY)]
    total, cumulative = 0.0, []
    for rank in range(1, _N_VOCABULARY + 1):
        total += 1 / rank
        cumulative.append(total)
    with file.open("w", encoding="utf-8") as stream:
        for number in tqdm(range(n), file=sys.stderr, desc="writing documents", unit_scale=True):
            words = draw.choices(vocabulary, cum_weights=cumulative, k=_N_WORDS)
            stream.write(json.dumps({"id": f"d{number}", "title": "", "text": " ".join(words)}) + "\n")


def embed_alone(file: Path) -> dict[str, float]:
    """Return how long embedding and adding takes, once the texts and the model are in memory."""
    import faiss

    from era.encoders.bundled import load_bundled_pair

    light: Any = load_bundled_pair("cpu").light
    texts = [json.loads(line)["text"] for line in file.open(encoding="utf-8")]
    light.model.encode(texts[:1000], batch_size=256, show_progress_bar=False)
    started = time.perf_counter()
    vectors = light.model.encode(texts, batch_size=256, normalize_embeddings=True, show_progress_bar=False)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return {"seconds": time.perf_counter() - started, "memory": peak_memory_bytes() / _GIBIBYTE}


def import_documents(file: Path, data: Path, kill_at: float | None = None) -> dict[str, float]:
    """Return how long an import takes until the collection is there, and the peak until it is open as well.

    With `kill_at` the process kills itself at that fraction and returns nothing; a later call goes on.
    """
    from annotation.collections.imports import ImportRequest, importing, list_jobs, resume_import, start_import
    from annotation.collections.preparation import prepare
    from annotation.jobs.worker import Worker
    from annotation.settings import Settings
    from annotation.workspace import Workspace
    from era.encoders.loading import load_pair
    from era.encoders.spec import BUNDLED

    sys.setswitchinterval(0.001)  # as in app.py
    workspace = Workspace(Settings(data_dir=data, device="cpu"), load_pair)
    prepare(workspace)
    workspace.pairs.load(BUNDLED).light.encode_documents(["warm"])
    worker = Worker(workspace, [importing(workspace)])
    worker.start()
    left = [job for job in list_jobs(workspace) if job.can_resume]
    copy = data / file.name  # the import moves its file away
    if not left:
        os.link(file, copy)
    started = time.perf_counter()
    if left:
        job = resume_import(workspace, "benchmark", left[0].id)
    else:
        job = start_import(workspace, "benchmark", ImportRequest(kind="new", name="Made up", path=str(copy)))
    worker.poke()
    while job.state in ("queued", "running"):
        if kill_at is not None and job.fraction >= kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.1)
        [job] = list_jobs(workspace)
    seconds = time.perf_counter() - started
    if job.state != "finished" or job.collection_id is None:
        raise RuntimeError(f"The import {job.state}: {job.error}")
    while workspace.opened(job.collection_id) is None:
        time.sleep(0.1)
    opened_s = time.perf_counter() - started
    opened = workspace.opened(job.collection_id)
    fingerprint = int(opened.index.fingerprint[:8], 16) if opened is not None else 0
    worker.close()
    workspace.close()
    return {
        "seconds": seconds,
        "opened": opened_s,
        "memory": peak_memory_bytes() / _GIBIBYTE,
        "fingerprint": fingerprint,
    }


def _measure_kill(folder: Path, uninterrupted: float) -> list[Figure]:
    data = folder / "data-killed"
    arguments = (folder / "made up.jsonl", data)
    process = multiprocessing.get_context("spawn").Process(target=import_documents, args=(*arguments, 0.5))
    started = time.perf_counter()
    process.start()
    process.join()
    killed_after = time.perf_counter() - started
    resumed = call_in_fresh_process("benchmarks.importing", "import_documents", *arguments)
    return [
        Figure("killed", "killed after, starting the process included", "s", killed_after),
        Figure("killed", "the rest after it", "s", resumed["seconds"], "a whole import", uninterrupted),
    ]


def _figures(n: int, ours: list[dict[str, float]], plain: list[dict[str, float]]) -> list[Figure]:
    median = {key: statistics.median(each[key] for each in ours) for key in ours[0]}
    rate, plain_rate = n / median["seconds"], n / statistics.median(each["seconds"] for each in plain)
    enough = Target("ratio", ">=", _ENOUGH)
    return [
        Figure("import", f"{n:,} documents", "documents/s", rate, "encode and add alone", plain_rate, enough),
        Figure("import", "until the collection is open", "s", median["opened"], "until it is there", median["seconds"]),
        Figure(
            "memory",
            "peak of the importing process, opening included",
            "GiB",
            median["memory"],
            "peak of encode and add",
            statistics.median(each["memory"] for each in plain),
            Target("ours", "<=", _MOST_GIBIBYTES),
        ),
    ]


if __name__ == "__main__":
    main()
