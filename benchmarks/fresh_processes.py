"""Work in a process of its own, and how much memory that process took at most.

Linux hands the peak of a parent down to its children: one that starts measurements must not import torch itself.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from typing import Any


def call_in_fresh_process(module: str, function: str, *arguments: object) -> Any:
    """Return what `module.function(*arguments)` returns in a new process; the module is imported there alone."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_call, module, function, arguments).result()


def _call(module: str, function: str, arguments: tuple[object, ...]) -> object:
    return getattr(import_module(module), function)(*arguments)


def peak_memory_bytes() -> int:
    """Return the largest resident set this process has had; not available on Windows."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
