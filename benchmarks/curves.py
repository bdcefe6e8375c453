"""Label-efficiency curves as a PNG: mean nDCG@10 over collections against the number of labelled queries.

Where some collections run out of labels there are two panels, each over the same collections from its left end to its
right: a mean over changing collections would rise and fall for that reason alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes  # type: ignore[import-not-found,unused-ignore]
from matplotlib.figure import Figure  # type: ignore[import-not-found,unused-ignore]

from benchmarks.outcomes import MEASURES, Results


@dataclass(frozen=True, slots=True)
class Curve:
    """How a system is drawn; references that use no labels are dashed."""

    label: str
    color: str
    width: float = 1.8
    dash: str = "-"


_BLUE, _SKY, _ORANGE, _GREEN, _GREY, _BLACK = "#0b5cad", "#4a94d6", "#c2570c", "#2b7a3d", "#6b6b6b", "#1a1a1a"
_BEST = " (best rate on test)"
CURVES = {
    "era": Curve("ERA (ours)", _BLUE, 3.0),
    "era-words": Curve("ERA + matching words", _BLUE, 2.0, "--"),
    "era-dual": Curve("ours, no neighbours", _SKY),
    "era-single": Curve("ours, strong half only", _SKY, dash="-."),
    "paper": Curve("paper", _ORANGE),
    "paper-tuned": Curve("paper" + _BEST, _ORANGE),
    "finetune": Curve("fine-tuning", _GREEN),
    "finetune-tuned": Curve("fine-tuning" + _BEST, _GREEN),
    "light": Curve("light model", _GREY, 1.2, "--"),
    "bm25": Curve("BM25", _GREY, 1.2, ":"),
    "strong": Curve("strong, re-indexed", _BLACK, 1.2, ":"),
    "strong-plain": Curve("strong, no instruction", _BLACK, 1.2, "--"),
}


def draw_curves(results: Results, file: Path) -> None:
    """Draw the systems of `CURVES` that were measured, 1800 pixels wide; a tuned one takes the place of the other."""
    everywhere = [n for n in results.budgets if len(results.collections_with(n)) == len(results.collections)]
    n_all, complete = len(results.collections), results.complete_collections
    panels = [(f"Mean of {_count(n_all)}", results.collections, everywhere)] if everywhere else []
    if complete and len(complete) < n_all:
        title = f"Mean of {_count(len(complete))} with {results.budgets[-1]} labelled queries"
        panels.append((title, complete, results.budgets))
    figure = Figure(figsize=(9, 4.8), dpi=200, facecolor="white", layout="constrained")
    widths = [len(budgets) + 2 for _, _, budgets in panels]
    grid = figure.subplots(1, len(panels), width_ratios=widths, squeeze=False)
    for axes, (title, names, budgets) in zip(grid[0], panels, strict=True):
        axes.set_title(title, fontsize=10, loc="left", pad=22)  # room for labels above the curves
        _draw_panel(axes, results, names, budgets)
    grid[0][0].set_ylabel("nDCG@10 on held-out queries", fontsize=9.5)
    figure.savefig(file)


def _count(n: int) -> str:
    return f"{n} collection" + ("s" if n != 1 else "")


def _draw_panel(axes: Axes, results: Results, names: Sequence[str], budgets: Sequence[int]) -> None:
    ends: dict[str, float] = {}
    drawn = [system for system in CURVES if f"{system}-tuned" not in results.systems]
    for system in drawn:
        curve = CURVES[system]
        means = [results.mean_over(MEASURES[0], names, system, n_labels) for n_labels in budgets]
        values = [mean for mean in means if mean is not None]
        if len(values) == len(budgets):
            axes.plot(range(len(budgets)), values, color=curve.color, linewidth=curve.width, linestyle=curve.dash)
            ends[system] = values[-1]
    axes.set_xlabel("labelled queries", fontsize=9.5)
    axes.set_xticks(range(len(budgets)), [str(n_labels) for n_labels in budgets])
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    axes.set_xlim(-0.1, len(budgets) - 0.9)
    low, high = axes.get_ylim()
    places = spread(list(ends.values()), (high - low) * 0.047)
    for (system, value), place in zip(ends.items(), places, strict=True):
        axes.annotate(
            CURVES[system].label,
            xy=(len(budgets) - 1, value),
            xytext=(len(budgets) - 0.75, place),
            color=CURVES[system].color,
            fontsize=9,
            fontweight="bold" if system == "era" else "normal",
            verticalalignment="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": CURVES[system].color,
                "linewidth": 0.6,
                "shrinkA": 0,
                "shrinkB": 1,
                "relpos": (0, 0.5),
            },
        )


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Return places in the order of `values`, at least `gap` apart and as near to the values as that allows.

    Sorted places minus their rank times `gap` must not fall: that is isotonic regression, by pooling neighbours.
    """
    order = np.argsort(values, kind="stable")
    blocks: list[list[float]] = []
    for rank, i in enumerate(order):
        blocks.append([values[i] - rank * gap])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    levels = [float(np.mean(block)) for block in blocks for _ in block]
    places = [0.0] * len(values)
    for rank, i in enumerate(order):
        places[i] = levels[rank] + rank * gap
    return places
