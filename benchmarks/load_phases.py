"""Experts at work for a while: how long each of their acts took, one kind of act at a time, all of them in turns."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from benchmarks.load_client import Expert
from benchmarks.load_store import BareInserts

LOOK_EVERY_S = 10.0  # how often an idle page looks after its header and its training runs (IDLE_SECONDS of the app)
KINDS = ("bare", "nothing", "mark")
_ROUNDS = 2

Act = Callable[[], Awaitable[float]]


@dataclass
class Seconds:
    """What each kind of act took, in seconds, and what a stretch of acts took from the first to the last."""

    acts: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    stretches: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))

    def milliseconds(self, kind: str, percentile: float) -> float:
        """Return a percentile of what the acts of a kind took."""
        return float(np.percentile(self.acts[kind], percentile)) * 1000

    def per_second(self, kind: str) -> float:
        """Return how many acts of a kind were done in a second."""
        return len(self.acts[kind]) / self.stretches[kind]


async def work(experts: Sequence[Expert], bare: Sequence[BareInserts], n_marks: int, think_s: float) -> Seconds:
    """Let everybody act `n_marks` times in every way.

    Args:
        experts: who work at the same time, each with one act under way.
        bare: a connection for each of them.
        n_marks: acts of each kind and expert.
        think_s: mean pause before an act; without one, what is marked was opened before the clock starts.

    Returns:
        What it took.
    """
    seconds = Seconds()
    for part in range(_ROUNDS):
        n_acts = n_marks * (part + 1) // _ROUNDS - n_marks * part // _ROUNDS
        if not n_acts:
            continue
        for kind in KINDS if part % 2 == 0 else reversed(KINDS):
            if kind == "mark" and not think_s:
                await asyncio.gather(*(expert.open_queries(n_acts) for expert in experts))
            with _pages_open(experts):
                started = time.perf_counter()
                each = await asyncio.gather(
                    *(
                        _act(_acts_of(expert, store)[kind], n_acts, think_s, expert.random)
                        for expert, store in zip(experts, bare, strict=True)
                    )
                )
                seconds.stretches[kind] += time.perf_counter() - started
            seconds.acts[kind] += [took_s for took in each for took_s in took]
    return seconds


def _acts_of(expert: Expert, store: BareInserts) -> dict[str, Act]:
    return {"bare": lambda: asyncio.to_thread(store.insert), "nothing": expert.ask_nothing, "mark": expert.mark}


async def _act(act: Act, n_times: int, think_s: float, random: Random) -> list[float]:
    took = []
    for _ in range(n_times):
        if think_s:
            await asyncio.sleep(random.uniform(0.5, 1.5) * think_s)
        took.append(await act())
    return took


@contextlib.contextmanager
def _pages_open(experts: Sequence[Expert]) -> Iterator[None]:
    """Let every expert's page look after itself meanwhile, as it does while it is open."""

    async def keep_looking(expert: Expert) -> None:
        await asyncio.sleep(expert.random.uniform(0, LOOK_EVERY_S))
        while True:
            await expert.look()
            await asyncio.sleep(LOOK_EVERY_S)

    tasks = [asyncio.create_task(keep_looking(expert)) for expert in experts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
