"""Which ranking goes in use after training: the best on unseen queries, of equals the simplest, and why in words."""

import pytest

from annotation.training.train import RANKINGS, choose


def means(*values: float) -> dict[str, dict[str, float]]:
    """Return what was measured, from the simplest on, where the strong model has not read every document."""
    names = [name for name in RANKINGS if not name.endswith("+reread")]
    return {name: {"nDCG@10": value} for name, value in zip(names, values, strict=False)}


@pytest.mark.parametrize(
    ("values", "ranking", "reason"),
    [
        (  # training lost, and words too
            (0.79, 0.75, 0.78, 0.74, 0.76, 0.73),
            "light",
            "On your 5 queries it ranks best: nDCG@10 0.79; with your marks 0.73.",
        ),
        (  # equal on the screen, though the run is a little better behind it
            (0.791, 0.7, 0.7, 0.7, 0.794, 0.7),
            "light",
            "On your 5 queries it ranks as well as the best and is the simplest: nDCG@10 0.79; with your marks 0.70.",
        ),
        (
            (0.5, 0.5, 0.6, 0.6, 0.7, 0.71),
            "after+words",
            "On your 5 queries it ranks best: nDCG@10 0.71; the light model alone 0.50.",
        ),
        (
            (0.5, 0.7, 0.6, 0.7, 0.7, 0.7),
            "light+words",
            "On your 5 queries it ranks as well as the best and is the simplest: nDCG@10 0.70; "
            "the light model alone 0.50.",
        ),
    ],
)
def test_choose_takes_the_best_and_of_equals_the_simplest(values: tuple[float, ...], ranking: str, reason: str) -> None:
    chosen = choose(5, means(*values))
    assert (chosen.ranking, chosen.reason) == (ranking, reason)


def test_choose_does_without_rankings_that_were_not_measured() -> None:
    some = {"after": {"nDCG@10": 0.6}, "light": {"nDCG@10": 0.6}, "aligned": {"nDCG@10": 0.5}}
    chosen = choose(1, some)
    assert chosen.ranking == "light"
    assert chosen.reason.startswith("On your 1 query it ranks as well as the best")
