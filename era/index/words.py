"""The words of a text as BM25 counts them: lower case, without stop words, reduced to their stems.

One language for a whole corpus, told by its stop words; texts in other languages are still matched, by stems that fit
them less. Scripts that put no spaces between words are read as overlapping pairs of characters, and so is Korean, whose
particles are written onto its words; of Chinese characters and Korean syllables, which can be words, each counts as
well (Luk and Kwok 2002, "A comparison of Chinese document indexing strategies and retrieval models").
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

LANGUAGES: Mapping[str, str] = {
    "english": "EN",
    "danish": "DANISH",
    "dutch": "DUTCH",
    "french": "FRENCH",
    "german": "GERMAN",
    "italian": "ITALIAN",
    "norwegian": "NORWEGIAN",
    "portuguese": "PORTUGUESE",
    "russian": "RUSSIAN",
    "spanish": "SPANISH",
    "swedish": "SWEDISH",
    "turkish": "TURKISH",
}
"""Those with a Snowball stemmer and a list of stop words: the name of the one, and of the other in bm25s."""

_N_SAMPLED = 300  # texts that tell the language
_MIN_SHARE = 0.03  # of their words that must be stop words of another language than English
_MIN_DIFFERENT = 5  # of them, so that no single name in a small corpus decides
_MIN_LEAD = 1.5  # times as many as of English
_SYLLABIC = (
    "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
    "\u1100-\u11ff\uac00-\ud7ff"  # Korean
)
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf"  # Tai, more of Burmese
    "\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff" + _SYLLABIC  # Japanese kana, Bopomofo
)
_APOSTROPHE = "['\u2019\u02bc]"
_ELIDED = frozenset("cdjlmnst")  # stop words of French and others as they stand before or after an apostrophe only
_ENGLISH_TOO = ("i", "e.g.", "i.e.")  # stop words that its short list lacks
_MARKED_UP_TO = 0x20000  # the code points that are looked through for combining marks
_VOWEL_POINTS = range(10, 37)  # canonical combining classes: of Hebrew, Arabic and Syriac, which are mostly left out
_SEPARATORS = "\u200b\u200c"  # without width, and yet between words
_SILENT = (
    "\u0640"  # which lengthens a line of Arabic
    "\u2120\u2122"  # "SM" and "TM", once they are normalised
    "\ufe00-\ufe0f\U000e0100-\U000e01ef"  # which choose between shapes of one character
)


class _Patterns:
    """How texts are taken apart, as compiled expressions.

    A token has a word as its first group, or a run of an unspaced script as its second. Letters with dots such as
    "U.S." are one word; a letter that an apostrophe joins to a word, as in "l'eau" and "user's", is none.
    """

    def __init__(self) -> None:
        points = [chr(code) for code in range(_MARKED_UP_TO)]
        silent = {point for point in points if unicodedata.combining(point) in _VOWEL_POINTS}
        silent |= {point for point in points if unicodedata.category(point) == "Cf"} - set(_SEPARATORS)
        marks = "".join(point for point in points if unicodedata.category(point)[0] == "M" and point not in silent)
        self.silent = re.compile(f"[{''.join(sorted(silent))}{_SILENT}]")
        self.mark = re.compile(f"[{marks}]")
        self.unit = re.compile(f"[^{marks}][{marks}]*")
        self.syllabic = re.compile(f"[{_SYLLABIC}]")
        letter, run = rf"[^\W{_UNSPACED}]", f"[{_UNSPACED}]"
        acronym = rf"(?:[^\W\d_{_UNSPACED}]\.){{2,}}[^\W\d_{_UNSPACED}]?(?!\w)"
        alone = rf"(?<!\w{_APOSTROPHE}){letter}(?!{_APOSTROPHE}\w\w)"
        self.token = re.compile(rf"({letter}{{2,}}|{acronym}|{alone})|({run}+)")
        marked = rf"{letter}+(?:[{marks}]+{letter}*)+"
        self.marked_token = re.compile(rf"({marked}|{letter}{{2,}}|{acronym}|{alone})|({run}[{_UNSPACED}{marks}]*)")


@cache
def _patterns() -> _Patterns:
    return _Patterns()


def _tokens(text: str) -> list[tuple[str, str]]:
    """Return the words and the runs of unspaced scripts in their order, each with the other empty.

    Full and half width, ligatures and presentation forms are brought to one form (NFKC), as people type any of them.
    """
    patterns = _patterns()
    token = patterns.token
    if not text.isascii():
        text = unicodedata.normalize("NFKC", patterns.silent.sub("", text)).replace("\u0130", "i")
        token = patterns.marked_token if patterns.mark.search(text) else token
    return token.findall(text.lower())


def _pieces(run: str) -> list[str]:
    """Return the pairs of characters of a run of an unspaced script, and those characters that can be words alone."""
    patterns = _patterns()
    units: list[str] = patterns.unit.findall(run)
    if len(units) == 1:
        return units
    alone = [unit for unit in units if patterns.syllabic.match(unit)]
    return alone + [first + second for first, second in pairwise(units)]


@dataclass(frozen=True, slots=True)
class WordReader:
    """Reads texts in one of `LANGUAGES`."""

    language: str

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise ValueError(f"Unknown language {self.language!r}; expected one of {', '.join(LANGUAGES)}.")

    @classmethod
    def of(cls, texts: Sequence[str]) -> "WordReader":
        """Return the reader for the language that most of the texts are in, English where that is not clear."""
        counts: Counter[str] = Counter()
        for text in texts[:: max(1, len(texts) // _N_SAMPLED)]:
            counts.update(word for word, _ in _tokens(text) if len(word) > 1)
        told = {name: [word for word in _stop_words(name) if counts[word]] for name in LANGUAGES}
        told["english"] = [word for word in _long_english_list() if counts[word]]  # as long as those of the others
        found = {name: sum(counts[word] for word in words) for name, words in told.items()}
        best = max(found, key=lambda name: found[name])
        is_clear = len(told[best]) >= _MIN_DIFFERENT and found[best] >= _MIN_SHARE * counts.total()
        return cls(best if is_clear and found[best] >= _MIN_LEAD * found["english"] else "english")

    def read(self, texts: Sequence[str]) -> list[list[str]]:
        """Return for each text its stems and pieces of unspaced runs; none for a text without words."""
        from Stemmer import Stemmer

        stemmer, stems = Stemmer(self.language), dict.fromkeys(_uncounted(self.language), "")
        read = []
        for text in texts:
            words: list[str] = []
            for word, run in _tokens(text):
                if run:
                    words += _pieces(run)
                    continue
                if word not in stems:
                    stems[word] = stemmer.stemWord(word.replace(".", ""))
                if stems[word]:
                    words.append(stems[word])
            read.append(words)
        return read


def _uncounted(language: str) -> set[str]:
    """Return the words that count for nothing."""
    words = set(_stop_words(language)) - _ELIDED
    return words | set(_ENGLISH_TOO) if language == "english" else words


def _stop_words(language: str) -> tuple[str, ...]:
    from bm25s import stopwords

    words: tuple[str, ...] = getattr(stopwords, f"STOPWORDS_{LANGUAGES[language]}")
    return words


def _long_english_list() -> tuple[str, ...]:
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    words: tuple[str, ...] = STOPWORDS_EN_PLUS
    return words
