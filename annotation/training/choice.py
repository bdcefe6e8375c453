"""Which ranking goes in use after a training run: the best on queries that it had not seen, and of equals the simplest.

Training may lose: then what was there before stays in use, and a sentence says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from era.evaluation.figures import figure, rounded

Ranking = Literal[
    "light",
    "light+words",
    "aligned",
    "aligned+words",
    "aligned+words+reread",
    "after",
    "after+words",
    "after+words+reread",
]

RANKINGS: tuple[Ranking, ...] = get_args(Ranking)
"""What is measured on the labelled queries, from the simplest on. `after` is the training run, each query ranked by
adapters that never saw its marks; the others are ranker keys. `+words` counts matching words as well, `+reread` lets
the strong model order the top anew, which is measured where it has read every document."""

MAIN_MEASURE = "nDCG@10"

_OTHERS = {"light": "the light model alone", "aligned": "the aligned ranking", "after": "with your marks"}

_AGAINST_LIGHT = tuple(f"{base}{beside}" for base in ("after", "aligned") for beside in ("+words+reread", "+words", ""))


@dataclass(frozen=True, slots=True)
class Choice:
    """The one of `RANKINGS` that goes in use, and why in one sentence for people."""

    ranking: str
    reason: str


def choose(n: int, means: Mapping[str, Mapping[str, float]]) -> Choice:
    """Return the best ranking by its mean as people read it, so that a tie on the screen is a tie.

    Args:
        n: labelled queries that it was measured on.
        means: ranking -> measure -> mean over them; of `RANKINGS`, those that were measured.
    """
    values = {name: means[name][MAIN_MEASURE] for name in RANKINGS if name in means}
    highest = max(map(rounded, values.values()))
    best = [name for name, value in values.items() if rounded(value) == highest]
    other = "light" if best[0] != "light" else next(name for name in _AGAINST_LIGHT if name in values)
    how = "best" if len(best) == 1 else "as well as the best and is the simplest"
    return Choice(
        best[0],
        f"On your {n:,} {'query' if n == 1 else 'queries'} it ranks {how}: {MAIN_MEASURE} {figure(values[best[0]])}; "
        f"{_OTHERS[other.partition('+')[0]]} {figure(values[other])}.",
    )
