"""Start ERA: settings, workspace, screens, server.

Run `python app.py`, or `python app.py PATH` for documents of your own, in any format that can be imported.
"""

import argparse
import contextlib
import logging
import sys
import threading
from pathlib import Path

with contextlib.suppress(ImportError):  # on a Space with shared GPUs this has to come before torch
    import spaces  # noqa: F401

import gradio as gr

import storage.collections
from annotation.errors import AnnotationError, InvalidInputError
from annotation.importing import ensure_demo
from annotation.importing.now import import_now
from annotation.importing.worker import ImportWorker
from annotation.presenting.embedders import costs_payload
from annotation.previews import costs_of_reading
from annotation.settings import Settings
from annotation.training.worker import TrainingWorker
from annotation.ui.api import add_search
from annotation.ui.app import HEAD, build_ui
from annotation.ui.panel import style
from annotation.ui.words import script, translations
from annotation.workspace import Workspace
from era.command_line.sources import embedders_named
from era.embedder_specs import PairSpec
from era.embedders import EmbedderPair
from era.errors import EraError
from era.formats.content import Source
from era.formats.opening import FORMATS, open_hub, open_source
from era.loading import load_pair
from era.vector_cache import VectorCache
from storage.errors import StorageError

_LARGEST_UPLOAD = "4gb"
_LARGEST_UPLOAD_ON_A_SPACE = "500mb"  # where anybody may upload, and disks are small


def main() -> int:
    """Run the app until it is stopped; return the exit code."""
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for name in ("httpx", "httpx2", "openai", "huggingface_hub", "alembic", "sentence_transformers", "faiss"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logger = logging.getLogger("era")
    sys.setswitchinterval(0.001)  # pages wait for answers while an embedder computes in the background
    try:
        settings = Settings()
        cache = VectorCache(settings.data_folder / "vectors", settings.cache_bytes)

        def load(spec: PairSpec, device: str) -> EmbedderPair:
            return load_pair(spec, device, cache)

        workspace = Workspace(settings, load)
        logger.info("Everything is kept in %s", workspace.folder)
        ensure_demo(workspace)
        if arguments.path is not None:
            _bring_in(workspace, arguments)
        workers = (TrainingWorker(workspace), ImportWorker(workspace))
        for worker in workers:
            worker.start()
        settings.spare_statistics()
        i18n = translations()
        blocks = build_ui(workspace, workers[0], i18n)
        if settings.api:
            add_search(blocks, workspace)
        blocks.queue(default_concurrency_limit=4, max_size=256)
        blocks.launch(
            server_port=settings.port,
            prevent_thread_lock=True,
            quiet=True,
            show_error=True,
            run_history=False,
            footer_links=["api"] if settings.api else [],
            mcp_server=settings.api,
            max_file_size=_LARGEST_UPLOAD if settings.space_id is None else _LARGEST_UPLOAD_ON_A_SPACE,
            ssr_mode=False,
            theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            css=style(),
            head=script(i18n) + HEAD,
            i18n=i18n,
            auth=settings.read_people() or None,
            auth_message="Sign in, so that your marks carry your name.",
        )
    except (StorageError, AnnotationError, EraError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - command-line output
        return 1
    except OSError as error:
        print(f"{error}\nSet GRADIO_SERVER_PORT to a free port and start again.", file=sys.stderr)  # noqa: T201
        return 1
    logger.info("Open %s in your browser", blocks.local_url)
    threading.Thread(target=workspace.prepare, name="preparation", daemon=True).start()
    try:
        blocks.block_thread()
    finally:
        for worker in workers:
            worker.close()
        workspace.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Search, mark, train and compare in the browser.")
    parser.add_argument("path", nargs="?", help="a collection of your own: a file, folder or zip; a name of the hub")
    parser.add_argument("--format", default="", choices=list(FORMATS), help="of that; default: as it looks")
    parser.add_argument("--embedders", default="", help="of a new collection: a preset or a JSON file; default bundled")
    parser.add_argument("--yes", action="store_true", help="send documents to an endpoint that is paid for, unasked")
    return parser


def _bring_in(workspace: Workspace, arguments: argparse.Namespace) -> None:
    embedders = embedders_named(arguments.embedders) if arguments.embedders else None
    path, format = arguments.path, arguments.format
    source = open_hub(path) if format == "hub" else open_source(Path(path), format)
    author = workspace.settings.local_name
    with workspace.reading() as session:
        is_new = storage.collections.find_by_name(session, source.name) is None
    if is_new and embedders is not None and "openai" in (embedders.strong.kind, embedders.light.kind):
        _agree_to_costs(source, author, embedders, arguments.yes)
    import_now(workspace, source, author, embedders)


def _agree_to_costs(source: Source, author: str, embedders: PairSpec, is_agreed: bool) -> None:
    """Say what an endpoint will be sent and what that costs, and ask, unless it was agreed to.

    Raises:
        InvalidInputError: if nobody agrees, or nobody can be asked.
    """
    print(costs_payload(*costs_of_reading(author, source, embedders))["text"])  # noqa: T201 - command-line output
    if is_agreed:
        return
    if not sys.stdin.isatty():
        raise InvalidInputError("Nothing was sent. If you agree to that, start again with --yes.")
    print("Send the texts? [y/N] ", end="", flush=True)  # noqa: T201
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InvalidInputError("Nothing was sent, and nothing was imported.")


if __name__ == "__main__":
    sys.exit(main())
