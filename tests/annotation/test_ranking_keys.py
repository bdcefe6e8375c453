"""The grammar of ranking keys."""

import pytest

from annotation.ranking_keys import ALIGNED, BM25, LIGHT, RankingKey


@pytest.mark.parametrize(
    "key", ["light", "aligned+words", "run-7", "run-7+words", "bm25", "snap-abc-0", "nonsense", ""]
)
def test_a_key_is_printed_as_it_was_read(key: str) -> None:
    assert str(RankingKey.parse(key)) == key


def test_only_runs_have_the_id_of_a_run() -> None:
    keys = ("run-7", "run-12+words", "run-", "run-x", "light", "snap-run-7", "run-7-1", "run-²", "run-7+words+words")
    assert [RankingKey.parse(key).run_id for key in keys] == [7, 12, None, None, None, None, None, None, None]
    assert str(RankingKey.of_run(7)) == "run-7"


def test_only_sides_of_snapshots_are_stored() -> None:
    assert RankingKey.parse(str(RankingKey.of_snapshot("q2w3e4r", 1))).stored_side == ("q2w3e4r", 1)
    for other in ("light", "snap-", "snap-abc", "snap-abc-", "snap-a/b-0", "snap-abc-0+words", "snap-abc-12"):
        assert RankingKey.parse(other).stored_side is None


def test_words_are_put_on_and_taken_away() -> None:
    assert (
        str(RankingKey.parse("run-7").with_words())
        == str(RankingKey.parse("run-7+words").with_words())
        == "run-7+words"
    )
    assert RankingKey.parse("aligned+words").without_words() == RankingKey(ALIGNED)
    assert RankingKey(BM25).without_words() == RankingKey(LIGHT)
