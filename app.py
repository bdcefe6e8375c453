"""Start ERA: settings, workspace, screens, server.

Run `python app.py`, or `python app.py FOLDER` for documents of your own.
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

from annotation.collections import read_collection
from annotation.errors import AnnotationError
from annotation.importing import ensure_demo, ensure_imported
from annotation.settings import Settings
from annotation.training.worker import TrainingWorker
from annotation.ui.app import HEAD, build_ui
from annotation.ui.panel import style
from annotation.ui.words import script, translations
from annotation.workspace import Workspace
from era.embedders import load_bundled_pair
from storage.errors import StorageError


def main() -> int:
    """Run the app until it is stopped; return the exit code."""
    parser = argparse.ArgumentParser(description="Search, mark, train and compare in the browser.")
    parser.add_argument(
        "folder", type=Path, nargs="?", help="a collection of your own: a folder with corpus.jsonl (see README)"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for name in ("httpx", "alembic", "sentence_transformers", "faiss"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logger = logging.getLogger("era")
    sys.setswitchinterval(0.001)  # pages wait for answers while an embedder computes in the background
    try:
        workspace = Workspace(Settings(), load_bundled_pair)
        logger.info("Everything is kept in %s", workspace.folder)
        ensure_demo(workspace)
        if arguments.folder is not None:
            content = read_collection(arguments.folder)
            for remark in content.remarks:
                logger.info("%s", remark)
            ensure_imported(workspace, content)
        worker = TrainingWorker(workspace)
        worker.start()
        workspace.settings.spare_statistics()
        i18n = translations()
        blocks = build_ui(workspace, worker, i18n)
        blocks.queue(default_concurrency_limit=4, max_size=256)
        blocks.launch(
            server_port=workspace.settings.port,
            prevent_thread_lock=True,
            quiet=True,
            show_error=True,
            run_history=False,
            footer_links=[],
            ssr_mode=False,
            theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            css=style(),
            head=script(i18n) + HEAD,
            i18n=i18n,
            auth=workspace.settings.read_people() or None,
            auth_message="Sign in, so that your marks carry your name.",
        )
    except (StorageError, AnnotationError) as error:
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
        worker.close()
        workspace.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
