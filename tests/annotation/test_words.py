"""What the screens say: every language complete, and every text there is one that a screen asks for."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from annotation import ui
from annotation.comparing import measure
from annotation.judging import assist, review
from annotation.judging.assist import LiveState
from annotation.judging.pool import RANDOM, WORDS
from annotation.judging.review import Reason
from annotation.labels.current import QueryState
from annotation.ranking.rankers import ALIGNED, LIGHT
from annotation.ui.web import TABS
from annotation.ui.words import translations

UI = Path(ui.__path__[0])
ASSETS = UI / "assets"
SCRIPTS = {file.name: file.read_text(encoding="utf-8") for file in sorted(ASSETS.glob("*.js"))}
FILES = {file.stem: file for file in sorted((ASSETS / "words").glob("*.json"))}
TEXTS: dict[str, dict[str, str]] = translations()

PLURALS = {"de": {"one", "other"}, "en": {"one", "other"}}
"""The forms that `Intl.PluralRules` tells apart in each language."""

OPTIONAL = {"zero"} if ".zero" in SCRIPTS["words.js"] else set()
"""Forms that the look-up takes where they exist, beside those of the language."""

FORM = re.compile(r"\.(zero|one|two|few|many|other)$")
LITERAL = re.compile(r'(?<![\w$.])t\("([^"]+)"')
BUILT = re.compile(r"(?<![\w$.])t\(`([^`]+)`")
CALL = re.compile(r"(?<![\w$.])t\(")
ENDS = re.compile(r"^\s+|\s+$")
OPENING, CLOSING = "([{", ")]}"


def whys() -> list[str]:
    """Return the codes of why a card is shown; those of three modules are known by their source alone."""
    modules = (review, assist, measure)
    sources = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in modules]
    told = [re.findall(r'code(?:": | = )"([a-z-]+)"', source) for source in sources]
    assert all(told)
    return [*get_args(Reason), *(code for codes in told for code in codes)]


def kinds() -> list[str]:
    [listed] = re.findall(r"^const KINDS = \{\n(.*?)^\};", SCRIPTS["judge_queries.js"], re.MULTILINE | re.DOTALL)
    return re.findall(r"^  (\w+):", listed, re.MULTILINE)


def lists() -> list[str]:
    return re.findall(r'\bitem\("(\w+)"', SCRIPTS["judge_queries.js"])


VERDICTS = ["help", "none", "unsure", "hurt"]
PARTS = {
    "tab.${nameOf(tab).toLowerCase()}": [name.lower() for name in TABS],
    "why.${why.code}": whys(),
    'source.${isRun ? "lost" : base}': [LIGHT, ALIGNED, WORDS, RANDOM, "lost"],
    "live.${answer.state}": [state for state in get_args(LiveState) if state != "changed"],
    "queries.kind.${name}": kinds(),
    "queries.${query.state}_title": [state for state in get_args(QueryState) if state != "open"],
    "verdict.${gain.verdict}": VERDICTS,
    "verdict.next.${gain.verdict}": VERDICTS,
    "stage.${name}": ["light", "aligned", "marks"],
    "grade.${usual[name]}": ["none", "relevant", "related", "perfect"],
    "ranker.${base}": [LIGHT, ALIGNED],
    "${name}.title": lists(),
    "${name}.link": lists(),
}
"""What each key that a script builds can be built from."""


@dataclass(frozen=True)
class Asked:
    """A text that a script asks for, and the names of the values that it gives."""

    key: str
    values: frozenset[str]
    file: str


def names_given(source: str, start: int) -> frozenset[str]:
    """Return the names in the object that follows in a call, as in `, { n: 1, title })`; none if none follows."""
    begin = re.compile(r"\s*,\s*\{").match(source, start)
    if begin is None:
        return frozenset()
    entries, depth = [""], 0
    for sign in source[begin.end() :]:
        if sign in CLOSING and depth == 0:
            break
        depth += (sign in OPENING) - (sign in CLOSING)
        if sign == "," and depth == 0:
            entries.append("")
        else:
            entries[-1] += sign
    names = [re.match(r"\s*(\w+)\s*(?::|$)", entry) for entry in entries if entry.strip()]
    assert all(names), entries
    return frozenset(name[1] for name in names if name)


def asked() -> Iterator[Asked]:
    for file, source in SCRIPTS.items():
        for call in LITERAL.finditer(source):
            yield Asked(call[1], names_given(source, call.end()), file)
        for call in BUILT.finditer(source):
            for part in PARTS.get(call[1], ()):
                yield Asked(re.sub(r"\$\{.*\}", part, call[1]), names_given(source, call.end()), file)


ASKED = list(asked())


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def forms(base: str, language: str = "en") -> list[str]:
    """Return the keys under which the text of a key is kept: itself, or one for each plural form."""
    return [key for key in TEXTS[language] if key == base or FORM.sub("", key) == base]


def test_there_are_texts_in_english_and_german() -> None:
    assert set(FILES) == set(PLURALS)
    assert set(TEXTS) == set(PLURALS)


@pytest.mark.parametrize("language", FILES)
def test_a_file_holds_each_key_once_and_a_text_for_it(language: str) -> None:
    pairs: list[tuple[str, str]] = []

    def keep(found: list[tuple[str, str]]) -> None:
        pairs.extend(found)

    json.loads(FILES[language].read_text(encoding="utf-8"), object_pairs_hook=keep)
    assert dict(pairs) == TEXTS[language]
    assert len(pairs) == len(TEXTS[language])
    for key, text in pairs:
        assert isinstance(text, str), key
        assert text.strip(), key


@pytest.mark.parametrize("language", FILES)
def test_a_language_has_the_keys_of_english(language: str) -> None:
    def bases(of: str) -> set[str]:
        return {FORM.sub("", key) for key in TEXTS[of]}

    assert bases(language) == bases("en")
    if PLURALS[language] == PLURALS["en"]:
        assert list(TEXTS[language]) == list(TEXTS["en"])


@pytest.mark.parametrize("language", FILES)
def test_a_language_fills_in_what_english_does(language: str) -> None:
    for key, text in TEXTS[language].items():
        english = TEXTS["en"].get(key) or TEXTS["en"][FORM.sub(".other", key)]
        assert placeholders(text) == placeholders(english), key
        assert text.count("{") == text.count("}") == len(re.findall(r"\{\w+\}", text)), key


@pytest.mark.parametrize("language", FILES)
def test_blanks_at_the_ends_are_those_of_english(language: str) -> None:
    for key, text in TEXTS[language].items():
        english = TEXTS["en"].get(key) or TEXTS["en"][FORM.sub(".other", key)]
        assert ENDS.findall(text) == ENDS.findall(english), key


@pytest.mark.parametrize("language", FILES)
def test_a_text_with_plural_forms_has_every_one_of_the_language(language: str) -> None:
    texts = TEXTS[language]
    for base in {FORM.sub("", key) for key in texts if FORM.search(key)}:
        assert base not in texts, f"{base} has plural forms and is a key by itself too"
        found = {key.rsplit(".", 1)[1] for key in forms(base, language)}
        assert PLURALS[language] <= found, base
        assert found <= PLURALS[language] | OPTIONAL, f"no form but these is ever looked up: {base}"


def test_every_call_names_its_key_so_that_it_can_be_found_here() -> None:
    for file, source in SCRIPTS.items():
        calls = len(CALL.findall(source)) - len(re.findall(r"\bfunction t\(", source))
        assert calls == len(LITERAL.findall(source)) + len(BUILT.findall(source)), file


def test_every_built_key_is_known_here() -> None:
    built = [key for source in SCRIPTS.values() for key in BUILT.findall(source)]
    assert set(built) == set(PARTS)
    assert all(PARTS.values())


def test_every_text_that_is_asked_for_exists() -> None:
    assert [f"{each.key} ({each.file})" for each in ASKED if not forms(each.key)] == []


def test_every_text_is_asked_for() -> None:
    known = {each.key for each in ASKED}
    assert [key for key in TEXTS["en"] if key not in known and FORM.sub("", key) not in known] == []


def test_every_placeholder_is_filled_in() -> None:
    for each in ASKED:
        keys = forms(each.key)
        wanted = {name for key in keys for name in placeholders(TEXTS["en"][key])}
        assert wanted <= each.values, f"{each.key} in {each.file}"
        assert "n" in each.values or not any(FORM.search(key) for key in keys), f"{each.key} in {each.file}"


@pytest.mark.parametrize(
    ("call", "names"),
    [
        ('t("a")', []),
        ('t("a", { n })', ["n"]),
        ('t("a", { n: f(1, 2), name: x ? t(`b.${c}`, { of: 3 }) : "d", rank }), { other }', ["n", "name", "rank"]),
        ('t("a"), { other }', []),
    ],
)
def test_names_given_reads_the_object_of_a_call(call: str, names: Sequence[str]) -> None:
    first = LITERAL.match(call)
    assert first is not None
    assert names_given(call, first.end()) == set(names)
