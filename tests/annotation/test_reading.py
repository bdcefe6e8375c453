"""Sentences of a document, and which of them is closest to a query; the vectors are worked out on paper."""

import time

import numpy as np
import pytest

from annotation.judging.view import MAX_SENTENCES, closest_sentence, sentences
from era.encoders.base import Vectors
from era.types import Query
from tests.worlds.words import TableEmbedder, light_embedder


def parts(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


def test_sentences_gives_character_ranges_without_outer_blanks() -> None:
    assert sentences("  Cats purr. Dogs bark!  ") == [(2, 12), (13, 23)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\n ", []),
        ("no mark at all", ["no mark at all"]),
        ("Really? Yes! Well… Fine... Done.", ["Really?", "Yes!", "Well…", "Fine...", "Done."]),
        ("What?! No.", ["What?!", "No."]),
        ('He said "stop." Then (she left.) They met.', ['He said "stop."', "Then (she left.)", "They met."]),
        ("the flow is steady . it is slow .", ["the flow is steady .", "it is slow ."]),
        ("on plane a . it is slow", ["on plane a .", "it is slow"]),
        ("it is 猫. it eats", ["it is 猫.", "it eats"]),
        ("猫は魚を食べる。犬は骨を好む！本当？はい", ["猫は魚を食べる。", "犬は骨を好む！", "本当？", "はい"]),
        ("「行こう。」彼は言った。", ["「行こう。」", "彼は言った。"]),
        ("Was it 1999. Then it ended.", ["Was it 1999.", "Then it ended."]),
    ],
)
def test_sentences_end_at_their_marks(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "It grew by 3.5 and 1.000.000 in all.",
        "Pets, e.g. cats, i.e. felines, purr.",
        "Cats, dogs etc. live here.",
        "See Fig. 3 (cf. Eq. 4) and Smith et al. 2004.",
        "Dr. Jones met Mr. Brown.",
        "J. R. R. Tolkien and J.K. Rowling wrote.",
        "The U.S. Navy came.",
        "See No. 5 and p. 7 there.",
        "Open www.example.org/a.html now",
        "a.b.c",
        "cats (vs. dogs) here",
    ],
)
def test_sentences_do_not_end_within_numbers_abbreviations_and_initials(text: str) -> None:
    assert parts(text) == [text]


def test_sentences_end_after_a_word_that_is_an_abbreviation_only_before_a_number() -> None:
    assert parts("She said no. They left.") == ["She said no.", "They left."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A title\n\nA text", ["A title", "A text"]),
        ("A title\r\n \r\nA text", ["A title", "A text"]),
        ("a wrapped\nline", ["a wrapped\nline"]),
        ("You need:\n- salt\n* oil\n  • rice\n1. a pan\n12) a lid", None),
        ("text\n## Heading", ["text", "## Heading"]),
        ("minus -5\n-5 is not an item", ["minus -5\n-5 is not an item"]),
    ],
)
def test_sentences_end_where_a_paragraph_or_an_item_starts(text: str, expected: list[str] | None) -> None:
    items = ["You need:", "- salt", "* oil", "• rice", "1. a pan", "12) a lid"]
    assert parts(text) == (items if expected is None else expected)


def test_sentences_keep_the_number_of_an_item_with_the_item() -> None:
    assert parts("1. First do this. Then that.\n2. Rest.") == ["1. First do this.", "Then that.", "2. Rest."]
    assert parts("x" * 30 + " in the year\n12. Then") == ["x" * 30 + " in the year", "12. Then"]


def test_sentences_takes_the_rest_as_one_when_there_are_too_many() -> None:
    ranges = sentences("One. " * (MAX_SENTENCES + 2))
    assert len(ranges) == MAX_SENTENCES == 400
    assert ranges[398] == (398 * 5, 398 * 5 + 4)
    assert ranges[399] == (399 * 5, 402 * 5 - 1)
    assert len(sentences("One. " * MAX_SENTENCES)) == MAX_SENTENCES
    assert sentences("One. " * MAX_SENTENCES)[399] == (1995, 1999)


@pytest.mark.parametrize("text", ["." * 300_000 + "x", ".”" * 200_000 + "x", "\n" * 300_000, "\n" + " " * 300_000])
def test_sentences_answers_soon_whatever_it_is_given(text: str) -> None:
    started = time.process_time()
    sentences(text)
    assert time.process_time() - started < 60  # what grows with the square takes many minutes


def query_vector(text: str) -> Vectors:
    return light_embedder().encode_queries([Query("", text)]).reshape(-1)


TEXT = "A dog needs feeding daily. The cat shows illness today. A cat eats."


@pytest.mark.parametrize(
    ("query", "closest"),
    [
        ("dog feeding", "A dog needs feeding daily."),
        ("cat illness", "The cat shows illness today."),
        ("cat", "A cat eats."),  # cosine 1, against 1/√2 for the second sentence
        ("moth", "A dog needs feeding daily."),  # all 0: the first
    ],
)
def test_closest_sentence_has_the_highest_cosine(query: str, closest: str) -> None:
    found = closest_sentence(TEXT, query_vector(query), light_embedder())
    assert found is not None
    assert TEXT[slice(*found)] == closest


@pytest.mark.parametrize("text", ["", "  \n ", "One cat and no more."])
def test_closest_sentence_is_none_when_there_is_no_choice(text: str) -> None:
    light = light_embedder()
    assert closest_sentence(text, query_vector("cat"), light) is None
    assert light.texts_read == []


def test_closest_sentence_passes_over_short_sentences_unless_all_are() -> None:
    assert closest_sentence("Cat !\n\nThe dog is here.", query_vector("cat"), light_embedder()) == (7, 23)
    assert closest_sentence("The dog . Cat !", query_vector("cat"), light_embedder()) == (10, 15)


def test_closest_sentence_counts_east_asian_characters_as_words() -> None:
    text = "猫。\n\n犬は骨を好む。One two three four."
    table = {"犬は骨を好む。": np.array([1, 0], np.float32), "One two three four.": np.array([0, 1], np.float32)}
    assert closest_sentence(text, np.array([1, 0], np.float32), TableEmbedder("light", table)) == (4, 11)


def test_closest_sentence_refuses_a_vector_of_another_dimension() -> None:
    with pytest.raises(ValueError, match=r"\(11,\), got \(3,\)"):
        closest_sentence(TEXT, np.ones(3, np.float32), light_embedder())
