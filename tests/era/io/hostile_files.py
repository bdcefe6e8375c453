"""Small files made to keep a reader busy or to fill its memory, and reading them where that can be ended."""

import gzip
import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[3]
_NAMESPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_READ = """
import json, sys
from pathlib import Path
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
except ImportError:
    pass
from era.errors import FormatError
from era.io.opening import open_source
try:
    source = open_source(Path(sys.argv[1]))
    n = sum(1 for _ in source.documents())
    n_queries = len(source.queries())
    print(json.dumps({"n": n, "n_queries": n_queries, "remarks": source.remarks}))
except FormatError as error:
    print(json.dumps({"refused": str(error)}))
"""


def read_apart(path: Path, seconds: float = 120, memory_bytes: int = 3 * 2**30) -> dict[str, Any]:
    """Return how many documents of a source were read and what was said, or the words in which it was refused.

    Raises:
        TimeoutExpired: if it takes longer: far beyond what anything takes that is read in proportion to its length.
    """
    command = [sys.executable, "-c", _READ, str(path), str(memory_bytes)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def book(path: Path, rows: str, *, before: str = "", dimension: str = "") -> Path:
    """Write a workbook whose one sheet has this markup as its rows; `before` comes ahead of the sheet's root."""
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/></Types>',
        "_rels/.rels": _relation("officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook {_NAMESPACE} xmlns:r="{_RELATIONS}">'
        '<sheets><sheet name="data" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _relation("worksheet", "worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": f"{before}<worksheet {_NAMESPACE}>{dimension}<sheetData>{rows}</sheetData>"
        "</worksheet>",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def _relation(what: str, target: str) -> str:
    inner = f'<Relationship Id="r1" Type="{_RELATIONS}/{what}" Target="{target}"/>'
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{inner}</Relationships>'


def cells(number: int | str, texts: Sequence[str]) -> str:
    """Return the markup of a row of a sheet."""
    filled = "".join(
        f'<c r="{chr(65 + place)}{number}" t="inlineStr"><is><t>{text}</t></is></c>' for place, text in enumerate(texts)
    )
    return f'<row r="{number}">{filled}</row>'


def growing_zip(path: Path, name: str, n_bytes: int) -> Path:
    """Write a zip with one member that grows to so many zero bytes, as bzip2 alone can hold them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive, archive.open(name, "w", force_zip64=True) as member:
        for _ in range(n_bytes // 2**20):
            member.write(bytes(2**20))
    return path


def nested_gzips(path: Path, n: int, n_bytes: int) -> Path:
    """Write a zip of tables that are each compressed again, and grow to so many bytes each."""
    table = gzip.compress(b"id,text\n" + b" " * n_bytes, mtime=0)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        for number in range(n):
            archive.writestr(f"{number}.csv.gz", table)
    return path
