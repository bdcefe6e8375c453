"""The emoji demonstration collection: documents that stay what they are, and judgments that fit them."""

import csv
from collections import Counter, defaultdict

import pytest

from annotation.demo.demo import Demo
from annotation.demo.emoji_symbols import DATA, DESCRIPTION, NAME, emoji_symbols
from era.corpus import Corpus
from era.types import Document, Query

SKIN_TONES = set("🏻🏼🏽🏾🏿")
FINGERPRINT = "ff8e9dc11299266ceac0e53238e9f00e086bb4defc07e844a3f153035afcd9ec"


@pytest.fixture(scope="module")
def demo() -> Demo:
    return emoji_symbols()


@pytest.fixture(scope="module")
def documents(demo: Demo) -> dict[str, Document]:
    return {document.doc_id: document for document in demo.documents}


def relevant(demo: Demo, query: Query) -> frozenset[str]:
    return frozenset(doc_id for doc_id, grade in demo.judgments[query.query_id].items() if grade)


def test_collection_has_a_name_and_one_sentence_about_it(demo: Demo) -> None:
    assert (demo.name, demo.description) == (NAME, DESCRIPTION)
    assert DESCRIPTION.endswith(".")
    assert DESCRIPTION.count(". ") == 0


def test_documents_are_every_emoji_up_to_version_14_once(demo: Demo, documents: dict[str, Document]) -> None:
    assert len(demo.documents) == len(documents) == 1849
    assert list(documents) == sorted(documents)
    assert {"🎉", "👩‍🔬", "🇩🇪", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "#️⃣", "❤️", "🫠"} <= set(documents)
    assert not {"🫨", "🐦‍🔥", "🫩", "❤", "🎓🎉"} & set(documents)  # newer, newer, newer, not fully qualified, two


def test_documents_have_no_skin_tones(documents: dict[str, Document]) -> None:
    assert not [doc_id for doc_id in documents if SKIN_TONES & set(doc_id)]


def test_documents_stay_what_was_judged(demo: Demo) -> None:
    assert Corpus(demo.documents).fingerprint == FINGERPRINT


@pytest.mark.parametrize(
    ("doc_id", "title", "text"),
    [
        ("🎉", "🎉 party popper", "Thing: party popper. Also called tada."),
        ("🐙", "🐙 octopus", "Animal: octopus."),
        ("👩‍🔬", "👩‍🔬 woman scientist", "Person: woman, microscope."),
        ("🇩🇪", "🇩🇪 Germany", "The flag of Germany."),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿 England", "The flag of England."),
        ("🐄", "🐄 cow", "Animal: cow."),  # its alias cow2 says no more
        ("❤️", "❤️ red heart", "Symbol: heavy black heart."),
    ],
)
def test_document_says_what_it_shows_and_how_else_it_is_called(
    documents: dict[str, Document], doc_id: str, title: str, text: str
) -> None:
    assert (documents[doc_id].title, documents[doc_id].text) == (title, text)


def test_metadata_has_the_kind_and_names_in_other_languages(demo: Demo) -> None:
    assert demo.metadata["🐙"] == {
        "kind": "animal",
        "German": "oktopus",
        "Spanish": "pulpo",
        "French": "pieuvre",
        "Arabic": "أخطبوط",
        "Chinese": "章鱼",
        "Japanese": "タコ",
    }
    assert all(all(known.values()) and len(known) == 7 for known in demo.metadata.values())


@pytest.mark.parametrize(
    ("kind", "doc_ids"),
    [
        ("flag", "🇦🇫 🇿🇼 🏴‍☠️ 🏳️‍🌈 🏁"),
        ("face", "😀 🙄 🤖 🤧 🥹 🫠 ☹️ 😶‍🌫️ 🙀"),
        ("person", "👶 🧑‍🌾 👨‍👩‍👧 🕵️‍♀️ 🤦 🥷 👻 🧟 🫅 🏄 ⛷️ 👯‍♂️"),
        ("part of the body", "👍 ✋ 🙏 👀 🦷 🤝 🫶"),
        ("animal", "🐀 🐿️ 🙈 🦀 🐻‍❄️ 🦮 🪱"),
        ("plant", "🌵 🌹 🍄 🎄 💐 🪷"),
        ("food or drink", "☕ 🌭 🌽 🍅 🍿 🎂 🥯 🧋 🫘"),
        ("vehicle", "✈️ 🚀 🚎 🚤 🏎️ 🛻"),
        ("place", "⛪ 🌋 🏠 🏰 🗽 🚉"),
        ("sky or weather", "☀️ ⚡ 🌈 🌙 🔥"),
        ("symbol", "⚠️ ❤️‍🔥 💔 🅰️ #️⃣ 🚭 🔞 🟥"),
        ("thing", "⌚ ✏️ 🎓 🍴 🚨 🧯 🪦"),
    ],
)
def test_metadata_has_the_kind_of_each_picture(demo: Demo, kind: str, doc_ids: str) -> None:
    assert {doc_id: demo.metadata[doc_id]["kind"] for doc_id in doc_ids.split()} == dict.fromkeys(doc_ids.split(), kind)


def test_queries_are_intentions_under_a_handful_of_instructions(demo: Demo) -> None:
    assert len(demo.queries) == len({query.query_id for query in demo.queries}) >= 64
    by_instruction = Counter(query.instruction for query in demo.queries)
    assert 4 <= len(by_instruction) <= 8
    assert min(by_instruction.values()) >= 15
    assert min(len(query.text.split()) for query in demo.queries) >= 3


def test_every_query_is_judged_on_both_sides(demo: Demo) -> None:
    assert set(demo.judgments) == {query.query_id for query in demo.queries}
    for query_id, judged in demo.judgments.items():
        counts = Counter(judged.values())
        assert set(counts) == {0, 1}, query_id
        assert counts[1] >= 2, query_id
        assert counts[0] >= 3, query_id


def test_every_judged_document_is_in_the_collection(demo: Demo, documents: dict[str, Document]) -> None:
    assert {doc_id for judged in demo.judgments.values() for doc_id in judged} <= set(documents)


def test_judgments_are_in_the_file_once(demo: Demo) -> None:
    with (DATA / "judgments.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert rows[0] == ["query_id", "doc_id", "relevance"]
    assert sum(len(judged) for judged in demo.judgments.values()) == len(rows) - 1


def test_same_text_under_another_instruction_has_other_answers(demo: Demo) -> None:
    by_text: dict[str, list[Query]] = defaultdict(list)
    for query in demo.queries:
        by_text[query.text].append(query)
    several = [group for group in by_text.values() if len(group) > 1]
    assert len(several) >= 15
    for group in several:
        assert len({query.instruction for query in group}) == len(group)
        answers = [relevant(demo, query) for query in group]
        assert sum(map(len, answers)) == len(frozenset().union(*answers)), group[0].text  # nothing in common
