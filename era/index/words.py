"""The words of a text as BM25 counts them: lower case, without stop words, reduced to their stems.

One language for a whole corpus, told by its stop words; texts in other languages are still matched, by stems that fit
them less. Scripts that put no spaces between words are read as pairs of characters.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"  # Japanese, Chinese
    "\U00020000-\U0003ffff"
)
_TOKEN = re.compile(rf"([{_UNSPACED}]+)|([^\W{_UNSPACED}]{{2,}})")


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
            counts.update(word for _, word in _TOKEN.findall(text.lower()) if word)
        told = {name: [word for word in _stop_words(name) if counts[word]] for name in LANGUAGES}
        told["english"] = [word for word in _long_english_list() if counts[word]]  # as long as those of the others
        found = {name: sum(counts[word] for word in words) for name, words in told.items()}
        best = max(found, key=lambda name: found[name])
        is_clear = len(told[best]) >= _MIN_DIFFERENT and found[best] >= _MIN_SHARE * counts.total()
        return cls(best if is_clear and found[best] >= _MIN_LEAD * found["english"] else "english")

    def read(self, texts: Sequence[str]) -> list[list[str]]:
        """Return for each text its stems and pairs of characters, in their order; none for a text without words."""
        from Stemmer import Stemmer

        stemmer, stems = Stemmer(self.language), dict.fromkeys(_stop_words(self.language), "")
        read = []
        for text in texts:
            words: list[str] = []
            for unspaced, word in _TOKEN.findall(text.lower()):
                if unspaced:
                    words += [unspaced[i : i + 2] for i in range(max(len(unspaced) - 1, 1))]
                    continue
                if word not in stems:
                    stems[word] = stemmer.stemWord(word)
                if stems[word]:
                    words.append(stems[word])
            read.append(words)
        return read


def _stop_words(language: str) -> tuple[str, ...]:
    from bm25s import stopwords

    words: tuple[str, ...] = getattr(stopwords, f"STOPWORDS_{LANGUAGES[language]}")
    return words


def _long_english_list() -> tuple[str, ...]:
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    words: tuple[str, ...] = STOPWORDS_EN_PLUS
    return words
