"""What needs a package that was not installed says which command installs it."""

from pathlib import Path

import pytest

from era import extras
from era.extras import MissingPackageError, require
from era.io.opening import preview, preview_hub


def test_a_package_that_is_there_is_no_matter() -> None:
    require("numpy", "files")


@pytest.mark.parametrize(
    ("name", "content", "package"),
    [
        ("page.html", b"<p>trout</p>", "bs4"),
        ("paper.pdf", b"%PDF-1.4", "pypdf"),
        ("table.xlsx", b"PK\x03\x04", "openpyxl"),
        ("table.parquet", b"PAR1", "pyarrow"),
    ],
)
def test_formats_name_what_they_need(
    name: str, content: bytes, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda wanted: None if wanted == package else wanted)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MissingPackageError, match=rf'{package}, which is not installed.*pip install "era-retr.*files'):
        preview(tmp_path / name)


def test_datasets_of_the_hub_name_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda wanted: None)
    with pytest.raises(MissingPackageError, match=r"datasets.*\[hub\]"):
        preview_hub("mteb/scifact")
