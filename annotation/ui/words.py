"""What the screens say, in several languages: the files of `assets/words`, one for each language."""

import json
from pathlib import Path

_FOLDER = Path(__file__).parent / "assets" / "words"


def translations() -> dict[str, dict[str, str]]:
    """Return language code -> key -> text."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(_FOLDER.glob("*.json"))}
