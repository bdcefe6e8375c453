"""Start ERA: settings, workspace, screens, server.

Run `python app.py`, or `python app.py PATH` for documents of your own, in any format that can be imported.
"""

import argparse
import contextlib
import logging
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

with contextlib.suppress(ImportError):  # on a Space with shared GPUs this has to come before torch
    import spaces  # noqa: F401

from annotation.errors import AnnotationError, InvalidInputError
from annotation.people.password_file import read_people, warn_of_clear_passwords
from annotation.settings import Settings
from era.errors import EraError
from era.io.opening import FORMATS
from era.threads import wait_asleep
from storage.errors import DatabaseDamaged, StorageError

if TYPE_CHECKING:
    from annotation.workspace import Workspace
    from era.encoders.base import EmbedderPair
    from era.encoders.spec import PairSpec
    from era.io.content import Source

logger = logging.getLogger("era")

_LOOK_FOR_BACKUP_S = 3600.0


def main() -> int:
    """Run the app until it is stopped; return the exit code."""
    wait_asleep()
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for name in ("httpx", "httpx2", "openai", "huggingface_hub", "alembic", "sentence_transformers", "faiss"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # it sets a level of its own when it is imported
    logging.getLogger("bm25s").addFilter(lambda record: record.levelno >= logging.WARNING)
    sys.setswitchinterval(0.001)  # pages wait for answers while an embedder computes in the background
    try:
        settings = Settings()
        _require_free_port(settings)
        warn_of_clear_passwords(settings.people, read_people(settings.people))
        return _run(settings, arguments)
    except (StorageError, AnnotationError, EraError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - command-line output
        return 1


def _require_free_port(settings: Settings) -> None:
    """Check the port that was set, before anything that takes long; without one, a free one is looked for later.

    Raises:
        InvalidInputError: if something else serves on it.
    """
    if settings.port is None:
        return
    try:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((settings.server_name or "127.0.0.1", settings.port))
    except (OSError, OverflowError) as error:
        raise InvalidInputError(
            f"Port {settings.port} cannot be used: {error}. Set GRADIO_SERVER_PORT to a free port and start again."
        ) from error


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Open the workspace, serve it until the app is stopped, and return the exit code."""
    # Not before the port is known to be free: these take seconds.
    from annotation.collections.imports import importing
    from annotation.collections.preparation import aligning, prepare
    from annotation.collections.store_whole import ensure_demos
    from annotation.collections.uploads import DOWNLOADS, UploadLimits, Uploads
    from annotation.comparing.strong import reading
    from annotation.jobs.worker import Worker
    from annotation.people.sign_in import SignIn
    from annotation.training.jobs import training
    from annotation.ui.app import Screens, build_ui
    from annotation.ui.downloads import Downloads
    from annotation.ui.server.api import add_search
    from annotation.ui.server.damage_page import serve_damage
    from annotation.ui.server.serving import serve
    from annotation.workspace import Workspace
    from era.encoders.cache import VectorCache
    from era.encoders.loading import load_pair

    cache = VectorCache(settings.data_folder / "vectors", settings.cache_bytes)

    def load(spec: "PairSpec", device: str) -> "EmbedderPair":
        return load_pair(spec, device, cache)

    try:
        workspace = Workspace(settings, load)
    except DatabaseDamaged as damage:
        logger.error("%s", damage)
        serve_damage(damage, settings)
        return 1
    logger.info("Everything is kept in %s", workspace.folder)
    ensure_demos(workspace)
    if arguments.path is not None:
        _bring_in(workspace, arguments)
    worker = Worker(workspace, [lane(workspace) for lane in (training, importing, reading, aligning)])
    worker.start()
    settings.prepare_server()
    people = read_people(settings.people)
    sign_in = SignIn(people) if people else None
    uploads = Uploads(workspace.folder / "uploads", settings.received_folder, UploadLimits.of(settings))
    downloads = Downloads(settings.received_folder / DOWNLOADS)
    screens, blocks = Screens(workspace, worker, uploads, downloads), build_ui(settings)
    if settings.api:
        add_search(blocks, workspace, sign_in)
    serve(blocks, screens.answers, workspace, uploads, downloads, sign_in)
    logger.info("Open %s in your browser", blocks.local_url)
    threading.Thread(target=prepare, args=(workspace,), name="preparation", daemon=True).start()
    threading.Thread(target=_keep_backups, args=[workspace], name="backups", daemon=True).start()
    try:
        blocks.block_thread()
    finally:
        worker.close()
        workspace.close()
    return 0


def _keep_backups(workspace: "Workspace") -> None:
    """Copy the database once a day, for as long as the app runs."""
    while True:
        try:
            workspace.back_up()
        except (StorageError, OSError):
            logger.exception("The database could not be copied")
        time.sleep(_LOOK_FOR_BACKUP_S)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Search, mark, train and compare in the browser.")
    parser.add_argument("path", nargs="?", help="a collection of your own: a file, folder or zip; a name of the hub")
    parser.add_argument("--format", default="", choices=list(FORMATS), help="of that; default: as it looks")
    parser.add_argument("--embedders", default="", help="of a new collection: a preset or a JSON file; default bundled")
    parser.add_argument("--yes", action="store_true", help="send documents to an endpoint that is paid for, unasked")
    return parser


def _bring_in(workspace: "Workspace", arguments: argparse.Namespace) -> None:
    import storage.collections
    from annotation.collections.import_source import import_now
    from era.collection import spec_in
    from era.encoders.loading import spec_of
    from era.io.opening import open_hub, open_source

    path, format = arguments.path, arguments.format
    embedders = spec_of(arguments.embedders) if arguments.embedders else spec_in(Path(path))
    source = open_hub(path) if format == "hub" else open_source(Path(path), format)
    author = workspace.settings.local_name
    with workspace.reading() as session:
        is_new = storage.collections.find_by_name(session, source.name) is None
    if is_new and embedders is not None and "openai" in (embedders.strong.kind, embedders.light.kind):
        _agree_to_costs(workspace.settings, source, author, embedders, arguments.yes)
    import_now(workspace, source, author, embedders, None if format == "hub" else Path(path))


def _agree_to_costs(settings: Settings, source: "Source", author: str, embedders: "PairSpec", is_agreed: bool) -> None:
    """Say what an endpoint will be sent and what that costs, and ask, unless it was agreed to.

    Raises:
        InvalidInputError: if the person does not agree, or cannot be asked.
    """
    from annotation.collections.preview import costs_of_reading
    from annotation.ui.payloads.embedders import costs_payload

    print(costs_payload(*costs_of_reading(settings, author, source, embedders))["text"])  # noqa: T201 - command-line output
    if is_agreed:
        return
    if not sys.stdin.isatty():
        raise InvalidInputError("Nothing was sent. If you agree to that, start again with --yes.")
    print("Send the texts? [y/N] ", end="", flush=True)  # noqa: T201
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InvalidInputError("Nothing was sent, and nothing was imported.")


if __name__ == "__main__":
    sys.exit(main())
