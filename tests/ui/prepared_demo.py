"""Prepare a data folder with the Python demo alone, as an app does: `python -m tests.ui.prepared_demo FOLDER`.

In a process of its own, since the demo is read from the interpreter, and pytest replaces some of its functions: other
documents would make another sample for the alignment, and every app would compute its own.
"""

import sys
from pathlib import Path

from annotation.collections.preparation import prepare
from annotation.collections.store_whole import store_demo
from annotation.demo.python_docs import python_docs
from annotation.settings import Settings
from annotation.workspace import Workspace
from era.encoders.cache import VectorCache
from era.encoders.loading import load_pair


def main(folder: Path) -> None:
    """Store the demo in the folder, embedded and aligned."""
    settings, cache = Settings(data_dir=folder, device="cpu", name="ann"), VectorCache(folder / "vectors")
    workspace = Workspace(settings, lambda spec, device: load_pair(spec, device, cache))
    store_demo(workspace, python_docs())
    prepare(workspace)
    workspace.close()
    cache.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
