import unicodedata

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from era.index.words import LANGUAGES, WordReader

SENTENCES = {
    "english": "The birds were singing in the garden and they did not stop when it was raining.",
    "danish": "Hun gik ned til havet for at se på bådene, og der var ikke andre end os.",
    "dutch": "De vogels zongen in de tuin en het was niet meer zo koud als de dag ervoor.",
    "french": "Les oiseaux chantaient dans le jardin et ne se sont pas arrêtés quand il a plu sur nous.",
    "german": "Die Vögel sangen im Garten und hörten auch nicht auf, als es am Abend zu regnen begann.",
    "italian": "Gli uccelli cantavano nel giardino e non si fermarono quando la pioggia cadde su di loro.",
    "portuguese": "Os pássaros cantavam no jardim e não pararam quando a chuva caiu sobre eles.",
    "russian": "Птицы пели в саду и не остановились, когда на них пошёл дождь, и это было не в первый раз.",
    "spanish": "Los pájaros cantaban en el jardín y no pararon cuando la lluvia cayó sobre ellos.",
    "swedish": "Fåglarna sjöng i trädgården och de slutade inte när det började regna på oss.",
    "turkish": "Kuşlar bahçede çok güzel ötüyordu ve hiç kimse bu sesi daha önce böyle duymamıştı.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_corpus_is_read_in_the_language_of_most_of_its_texts(language: str) -> None:
    assert WordReader.of([SENTENCES[language]] * 5 + [SENTENCES["english"]]).language == language


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [""],
        ["日本語の文書"],
        ["def open(path): return path", "os.path.join"],
        ["Lampe 40 W", "SKU 4711-A", "USB-C 2 m"],
        [SENTENCES["english"], SENTENCES["german"]],
    ],
)
def test_a_corpus_is_read_as_english_where_its_language_is_not_clear(texts: list[str]) -> None:
    assert WordReader.of(texts).language == "english"


def test_every_text_of_a_small_corpus_and_some_from_all_over_a_large_one_tell_the_language() -> None:
    texts = [SENTENCES["english"]] * 500 + [SENTENCES["german"]] * 3500
    assert WordReader.of(texts).language == "german"


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("english", "The runner was running; two runs!", ["runner", "run", "two", "run"]),
        ("english", "XK-4711 at 5 V", ["xk", "4711", "5", "v"]),
        ("english", "C, R or x? I'd say a C++ user's!", ["c", "r", "x", "say", "c", "user"]),
        ("english", "'x' of R's U.S.A. vectors, e.g. O’Brien's", ["x", "r", "usa", "vector", "brien"]),
        ("french", "l’eau de l'usine, en C ou en R", ["eau", "usin", "c", "r"]),
        ("german", "Die Häuser und das Haus", ["haus", "haus"]),
        ("french", "les maisons de la maison", ["maison", "maison"]),
        ("russian", "книги и книга", ["книг", "книг"]),
        ("english", "日本語", ["日", "本", "語", "日本", "本語"]),
        ("english", "猫", ["猫"]),
        ("english", "iPhoneを買う, ok", ["iphon", "買", "を買", "買う", "ok"]),
        ("english", "5月の C言語", ["5", "月", "月の", "c", "言", "語", "言語"]),
        ("english", "コーヒー", ["コー", "ーヒ", "ヒー"]),
        ("english", "책을 C로", ["책", "을", "책을", "c", "로"]),
        ("english", "ภาษาไทย", ["ภา", "าษ", "ษา", "าไ", "ไท", "ทย"]),
        ("english", "ที่นี่", ["ที่นี่"]),
        ("english", "हिन्दी में", ["हिन्दी", "में"]),
        ("english", "the of \x00 ?", []),
        ("english", "", []),
    ],
)
def test_words_are_stems_without_stop_words_and_pairs_of_characters(language: str, text: str, words: list[str]) -> None:
    assert WordReader(language).read([text]) == [words]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ＡＢＣ　１２", "abc 12"),
        ("ﾃﾞｰﾀﾍﾞｰｽ", "データベース"),
        ("e\u0301te\u0301", "\u00e9t\u00e9"),
        ("ﬁne m²", "fine m2"),
        ("كِتَابٌ", "كتاب"),
        ("شـــكرا", "شكرا"),
        ("ﻛﺘﺎﺏ", "كتاب"),
        ("שָׁלוֹם", "שלום"),
        ("in\u00adfor\u00admation", "information"),
        ("İSTANBUL", "istanbul"),
        ("Java™", "java"),
        ("葛\U000e0100城", "葛城"),
        ("\u1112\u1161\u11ab글", "한글"),
    ],
)
def test_a_word_is_the_same_whichever_characters_it_is_typed_with(typed: str, meant: str) -> None:
    assert typed != meant
    [read, expected] = WordReader("english").read([typed, meant])
    assert read == expected != []


@given(character=st.characters(categories=["L", "N"], exclude_characters="\u0640"))
@settings(max_examples=300, deadline=None)
def test_any_letter_or_digit_on_its_own_is_a_word(character: str) -> None:
    assume(unicodedata.normalize("NFKC", character).isalnum())
    [alone, between] = WordReader("german").read([character, f"vor {character} nach"])  # no stop word has one letter
    assert alone
    assert set(alone) <= set(between)


def test_texts_are_read_one_by_one() -> None:
    assert WordReader("english").read(["cats", "", "cat"]) == [["cat"], [], ["cat"]]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_can_be_read(language: str) -> None:
    assert len(WordReader(language).read([SENTENCES.get(language, "Fuglene sang")])[0]) > 0


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown language 'klingon'"):
        WordReader("klingon")
