"""Folders that appear complete or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(folder: Path, is_replacing: bool = False) -> Iterator[Path]:
    """Give a folder to write into; it becomes `folder` at the end, or goes away if anything is raised.

    Raises:
        FileExistsError: if there is something already that is not to be replaced.
    """
    if not is_replacing:
        require_free(folder)
    folder = folder.absolute()
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
    scratch.mkdir(parents=True)
    try:
        yield scratch
        aside = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        if folder.exists():
            folder.rename(aside)
        scratch.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def require_free(folder: Path) -> None:
    """Check that a folder does not exist or is empty.

    Raises:
        FileExistsError: if it holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists already. Choose another folder, or remove that one.")


def require_absent(folder: Path) -> None:
    """Check that there is nothing of this name, as saving an adapter wants it.

    Raises:
        FileExistsError: if there is.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already. Choose another folder, or remove that one.")
