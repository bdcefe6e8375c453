"""The emoji demonstration collection: what the package `emoji` and `unicodedata` say of each emoji.

They are read from the two, so that nothing is bundled, and anyone can judge a document at a glance. Taken are the fully
qualified emoji without skin tones up to Emoji 14.0: Python 3.11 knows the names of their characters, and a later
version of the package adds to them but takes none away. A document's id is the emoji itself, which never changes.

The queries and how they were judged: `emoji_data`.
"""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import emoji

from annotation.demo.demo import Demo, read_judgments, read_queries
from era.types import Document

NAME = "Emoji and symbols"
DESCRIPTION = "Emoji with the names that people have given them, to be found for what one wants to say."
DATA = Path(__file__).parent / "emoji_data"

LATEST_EMOJI_VERSION = 14.0

_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
_REGION_LETTERS = frozenset(map(chr, (*range(0x1F1E6, 0x1F200), *range(0xE0020, 0xE0080))))  # say whose flag it is
_UNSEEN = frozenset(map(chr, (0x200D, 0xFE0F)))  # join characters, and ask for the coloured form
_LANGUAGES = {"de": "German", "es": "Spanish", "fr": "French", "ar": "Arabic", "zh": "Chinese", "ja": "Japanese"}


_KINDS = {
    "flag": "🇦-🇿🏳🏴🎌🏁🚩",
    "face": "☹☺👿😀-🙄🤐-🤗🤠-🤥🤧-🤯🥰-🥶🥸-🥺🧐🫠-🫦",
    "person": "⛷⛹🎅🏂-🏄🏇🏊-🏌👤-👾💁-💃💆💇💏💑🕴🕵🕺🗣🙅-🙇🙋🙍🙎🚣🚴-🚶🛀🛌🤦🤰🤱🤴-🤾🥷🦸🦹🧌-🧏🧑-🧟🫂-🫅",
    "part of the body": "☝✊-✍👀-👐👣💅💋💪🖐🖕🖖🙌🙏🤌🤏🤘-🤟🤲🤳🦴-🦷🦻🦾🦿🧠🫀🫁🫰-🫶",
    "animal": "🐀-🐿🕊🕷🙈-🙊🦀-🦟🦡-🦮🪰-🪳🪸",
    "plant": "☘🌱-🌵🌷-🌼🌾-🍄🎄🎋💐🥀🪴🪷",
    "food or drink": "☕🌭-🌰🌶🌽🍅-🍳🍵-🍻🍾🍿🎂🥂🥃🥐-🥡🥣-🥯🧀-🧋🫐-🫘",
    "vehicle": "⛴⛵✈🏍🏎🚀-🚈🚊-🚎🚐-🚢🚤🚲🛥🛩🛫🛬🛰🛳-🛻🦼🦽",
    "place": "⛩⛪⛰⛲⛺🌃-🌇🌉🌋🌍-🌐🎠-🎢🎪🏔-🏦🏨-🏭🏯🏰💒🕋-🕍🗻-🗿🗺🚉🛕🛖🛝🛣🛤",
    "sky or weather": "☀☁☃☄☔⚡⛄⛅⛈❄⭐🌀🌁🌈🌊🌌🌑-🌠🌤-🌬💧🔥🪐",
    "thing": "⌚⌛⌨⏰-⏳☂☎♟⚒-⚔⚖-⚙⚰⚱⚽⚾⛏⛑⛓⛱⛳⛸⛽✂✉✏✒🀄🃏",
    "symbol": "#*0-9©-⯿〰-㊙🅰-🉑🎦🏧♀♂💓-💠💢💤-💦💨💫-💯💱💲💹📛📳-📶🔀-🔉🔔🔕🔘-🔤🔯-🔽🕉🕎🖤🗨🗯"
    "🚫🚭-🚱🚳🚷-🚼🚾🛂-🛅🛐🛑🛗🟠-🟰🤍🤎🧡",
}
"""What an emoji shows, by the characters that it may begin with; whatever is not in it is a thing."""


def emoji_symbols() -> Demo:
    """Return the collection; the package `emoji` then knows the names in the languages that are shown."""
    for language in _LANGUAGES:
        emoji.config.load_language(language)
    facts = {character: known for character, known in sorted(emoji.EMOJI_DATA.items()) if _is_taken(character, known)}
    return Demo(
        name=NAME,
        description=DESCRIPTION,
        documents=[
            Document(character, _title(character, known), _text(character, known)) for character, known in facts.items()
        ],
        metadata={character: _metadata(character, known) for character, known in facts.items()},
        queries=read_queries(DATA),
        judgments=read_judgments(DATA),
    )


def _is_taken(character: str, known: Mapping[str, Any]) -> bool:
    return (
        known["status"] == emoji.STATUS["fully_qualified"]
        and known["E"] <= LATEST_EMOJI_VERSION
        and _SKIN_TONES.isdisjoint(character)
    )


def _title(character: str, known: Mapping[str, Any]) -> str:
    return f"{character} {_plain(known['en'])}"


def _text(character: str, known: Mapping[str, Any]) -> str:
    """Return what it is a picture of, in the words of Unicode, and what else it is called."""
    name = _plain(known["en"])
    if _REGION_LETTERS.intersection(character):
        return f"The flag of {name}."
    drawn = ", ".join(unicodedata.name(part).lower() for part in character if part not in _UNSEEN)
    said = _words(f"{name} {drawn}")
    others = [alias for alias in map(_plain, known.get("alias", [])) if not _words(alias) <= said]
    return f"{_kind(character).capitalize()}: {drawn}." + (f" Also called {', '.join(others)}." if others else "")


def _kind(character: str) -> str:
    return next((kind for kind, first in _KINDS.items() if re.match(f"[{first}]", character)), "thing")


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", text.lower()))


def _metadata(character: str, known: Mapping[str, Any]) -> dict[str, str]:
    """Return what it is a picture of, and its name in other languages."""
    return {"kind": _kind(character)} | {language: _plain(known[code]) for code, language in _LANGUAGES.items()}


def _plain(shortcode: str) -> str:
    """Return the words of a short code such as `:party_popper:`."""
    return shortcode.strip(":").replace("_", " ")
