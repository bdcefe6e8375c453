"""The grammar of ranking keys."""

import pytest

from annotation.ranking.rankers import ALIGNED, BM25, LIGHT, RankingKey


@pytest.mark.parametrize(
    "key",
    [
        "light",
        "aligned+words",
        "run-7",
        "run-7+words",
        "light+reread",
        "run-7+words+reread",
        "bm25",
        "snap-abc-0",
        "x",
        "",
    ],
)
def test_a_key_is_printed_as_it_was_read(key: str) -> None:
    assert str(RankingKey(key)) == key


def test_only_runs_have_the_id_of_a_run() -> None:
    keys = (
        "run-7",
        "run-12+words",
        "run-",
        "run-x",
        "light",
        "snap-run-7",
        "run-7-1",
        "run-²",
        "run-7+words+words",
        "run-8+words+reread",
    )
    assert [RankingKey(key).run_id for key in keys] == [7, 12, None, None, None, None, None, None, None, 8]
    assert str(RankingKey.of_run(7)) == "run-7"


def test_only_sides_of_snapshots_are_stored() -> None:
    assert RankingKey(str(RankingKey.of_snapshot("q2w3e4r", 1))).stored_side == ("q2w3e4r", 1)
    for other in (
        "light",
        "snap-",
        "snap-abc",
        "snap-abc-",
        "snap-a/b-0",
        "snap-abc-0+words",
        "snap-abc-0+reread",
        "snap-abc-12",
    ):
        assert RankingKey(other).stored_side is None


def test_words_are_put_on_and_taken_away() -> None:
    assert str(RankingKey("run-7").with_words()) == str(RankingKey("run-7+words").with_words()) == "run-7+words"
    assert RankingKey("aligned+words").without_words() == RankingKey(ALIGNED)
    assert RankingKey(BM25).without_words() == RankingKey(LIGHT)


def test_rereading_is_put_on_and_taken_away_and_leaves_words_alone() -> None:
    key = RankingKey("run-7+words+reread")
    assert (key.base, key.has_words, key.is_reread) == ("run-7", True, True)
    assert str(key.without_rereading()) == "run-7+words"
    assert key.without_rereading().with_rereading() == key == key.with_rereading()
    assert RankingKey("run-7+reread+words").run_id is None  # words are counted before anything is read


def test_only_what_searches_the_light_index_can_be_reread() -> None:
    keys = ("light", "aligned+words", "run-7", "bm25", "strong", "strong+words", "snap-abc-0", "nonsense")
    assert [RankingKey(key).can_be_reread for key in keys] == [
        True,
        True,
        True,
        False,
        False,
        False,
        False,
        False,
    ]
