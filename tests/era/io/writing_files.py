"""Small files of many kinds, written by hand or by another library, for the tests of reading."""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from era.io.content import Source
from era.types import Document


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    return write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def documents_of(source: Source) -> list[Document]:
    return [each.document for each in source.documents()]


def pdf_of(pages: Sequence[Sequence[str]], title: str = "") -> bytes:
    """Return a PDF with the lines of each page in Helvetica, put together from its objects."""
    n_pages = len(pages)
    page_ids = [4 + 2 * place for place in range(n_pages)]
    objects = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: f"<< /Type /Pages /Kids [{' '.join(f'{i} 0 R' for i in page_ids)}] /Count {n_pages} >>".encode(),
        3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    }
    for page_id, lines in zip(page_ids, pages, strict=True):
        shown = "".join(f"({line}) Tj T*\n" for line in lines)
        stream = zlib.compress(f"BT /F1 12 Tf 14 TL 50 750 Td\n{shown}ET".encode("latin-1"))
        objects[page_id] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {page_id + 1} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        ).encode()
        length = f"<< /Length {len(stream)} /Filter /FlateDecode >>".encode()
        objects[page_id + 1] = length + b"\nstream\n" + stream + b"\nendstream"
    objects[4 + 2 * n_pages] = f"<< /Title ({title}) >>".encode("latin-1")
    content, places = b"%PDF-1.4\n", []
    for number in sorted(objects):
        places.append(len(content))
        content += f"{number} 0 obj\n".encode() + objects[number] + b"\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    trailer = f"trailer << /Size {size} /Root 1 0 R /Info {size - 1} 0 R >>\nstartxref\n{len(content)}\n%%EOF"
    return content + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()
