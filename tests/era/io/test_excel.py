from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from era.errors import FormatError
from era.io.files import Entry, Meter
from era.io.opening import open_source, preview
from era.io.table import open_rows
from tests.era.io.hostile_files import book, cells
from tests.era.io.writing_files import documents_of


def saved(path: Path, rows: Sequence[Sequence[Any]], **others: Sequence[Sequence[Any]]) -> Path:
    """Write a workbook with these rows in its first sheet, called "data", and those of other sheets."""
    made = openpyxl.Workbook()
    made.worksheets[0].title = "data"
    for row in rows:
        made.worksheets[0].append(row)
    for name, more in others.items():
        sheet = made.create_sheet(name)
        for row in more:
            sheet.append(row)
    made.save(path)
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [dict(row) for _, row in open_rows(Entry(path.name, path)).rows(Meter())]


def test_cells_are_read_as_they_look(tmp_path: Path) -> None:
    values = [7, 2.0, 2.5, True, date(2024, 3, 1), datetime(2024, 3, 1, 10, 30), time(10, 30), timedelta(hours=30), "x"]
    file = saved(tmp_path / "x.xlsx", [[f"c{n}" for n in range(len(values))], values])
    assert list(rows_of(file)[0].values()) == [
        *[7, 2, 2.5, True, datetime(2024, 3, 1), datetime(2024, 3, 1, 10, 30), time(10, 30), timedelta(hours=30), "x"]
    ]


def test_dates_of_a_workbook_may_count_from_1904(tmp_path: Path) -> None:
    made = openpyxl.Workbook()
    made.epoch = openpyxl.utils.datetime.MAC_EPOCH
    for row in [["id", "text", "on"], ["a", "one", date(2024, 3, 1)]]:
        made.worksheets[0].append(row)
    made.save(tmp_path / "x.xlsx")
    assert next(iter(open_source(tmp_path / "x.xlsx").documents())).metadata == {"on": "2024-03-01"}


def test_ids_that_are_numbers_have_no_fraction_and_keep_the_zeros_they_are_shown_with(tmp_path: Path) -> None:
    made = openpyxl.Workbook()
    sheet = made.worksheets[0]
    for row in [["id", "text"], [1.0, "one"], [7, "seven"], [12345, "many"]]:
        sheet.append(row)
    sheet["A3"].number_format = "000"
    sheet["A4"].number_format = "000"
    made.save(tmp_path / "x.xlsx")
    assert [d.doc_id for d in documents_of(open_source(tmp_path / "x.xlsx"))] == ["1", "007", "12345"]


def test_of_a_formula_the_saved_result_is_read_and_what_was_never_calculated_is_said(tmp_path: Path) -> None:
    header = cells(1, ["id", "text", "more"])
    calculated = '<row r="2"><c r="A2"><f>1+1</f><v>2</v></c><c r="B2" t="str"><f>A9</f><v>two</v></c></row>'
    empty = (
        '<row r="3"><c r="A3"><v>3</v></c><c r="B3" t="str"><v>x</v></c><c r="C3" t="str"><f>A8</f><v></v></c></row>'
    )
    unsaved = '<row r="4"><c r="A4"><v>4</v></c><c r="B4" t="str"><v>y</v></c><c r="C4"><f>A7</f></c></row>'
    wrong = '<row r="5"><c r="A5"><v>5</v></c><c r="B5" t="str"><v>z</v></c><c r="C5" t="e"><v>#REF!</v></c></row>'
    source = open_source(book(tmp_path / "x.xlsx", header + calculated + empty + unsaved + wrong))
    assert [(d.doc_id, d.text) for d in documents_of(source)] == [("2", "two"), ("3", "x"), ("4", "y"), ("5", "z")]
    assert source.remarks[0] == (
        "Of x.xlsx, formulas without a saved result were read as empty (1), cells with an error were read as empty (1)."
    )


def test_texts_in_several_fonts_and_with_escaped_characters_are_whole(tmp_path: Path) -> None:
    text = '<is><r><t>two </t></r><r><rPr><b/></rPr><t>fonts</t></r><rPh sb="0" eb="1"><t>no</t></rPh></is>'
    row = f'<row r="2"><c r="A2" t="str"><v>a_x000D_b_x005F_x000D_</v></c><c r="B2" t="inlineStr">{text}</c></row>'
    (found,) = documents_of(open_source(book(tmp_path / "x.xlsx", cells(1, ["id", "text"]) + row)))
    assert (found.doc_id, found.text) == ("a\rb_x000D_", "two fonts")


def test_the_first_sheet_that_is_filled_and_not_hidden_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    file = saved(tmp_path / "x.xlsx", [], old=[["id", "text"]], docs=[["id", "text"], ["a", "one"]], more=[["x"]])
    made = openpyxl.load_workbook(file)
    made["old"].sheet_state = "hidden"
    made.save(file)
    source = open_source(file)
    assert [d.text for d in documents_of(source)] == ["one"]
    assert source.remarks == ['Of x.xlsx the sheet "docs" was read, and not: more, old (hidden).']


def test_a_workbook_whose_only_filled_sheet_is_hidden_is_read_and_says_so(tmp_path: Path) -> None:
    file = saved(tmp_path / "x.xlsx", [], old=[["id", "text"], ["a", "one"]])
    made = openpyxl.load_workbook(file)
    made["old"].sheet_state = "veryHidden"
    made.save(file)
    assert preview(file).remarks == ('Of x.xlsx the hidden sheet "old" was read.',)


@pytest.mark.parametrize(
    "above",
    [
        [],
        [["Our documents"]],
        [["Summary"], [], ["as of", date(2024, 3, 1)]],
        [["Which", None, None, None], [None, "Texts"]],
    ],
)
@pytest.mark.parametrize("header", [["id", "title", "text", "lang"], ["Nr", "Was", "Inhalt", "Sprache"]])
def test_the_header_may_stand_below_titles(tmp_path: Path, above: list[list[Any]], header: list[str]) -> None:
    rows: list[list[Any]] = [
        ["a", "A", "the first text of them", "en"],
        [],
        ["b", "B", "another text that is longer", None],
    ]
    shown = preview(saved(tmp_path / "x.xlsx", [*above, header, *rows]))
    assert shown.columns == tuple(header)
    assert [each.document.text for each in shown.documents] == [rows[0][2], rows[2][2]]
    said = f"The header of x.xlsx is row {len(above) + 1}; what stands above it was left out."
    assert (said in shown.remarks) == bool(above)


def test_a_header_is_the_row_with_usual_names_even_below_a_row_that_is_half_full(tmp_path: Path) -> None:
    rows = [["made", "Ann"], ["id", "title", "text"], ["a", "A", "one"]]
    assert preview(saved(tmp_path / "x.xlsx", rows)).columns == ("id", "title", "text")


def test_cells_merged_in_the_header_and_below_it_are_read_once_which_is_said(tmp_path: Path) -> None:
    file = saved(tmp_path / "x.xlsx", [["id", "text", "seen"], ["a", "one", "x", "y"], ["b", "two"], ["c", "three"]])
    made = openpyxl.load_workbook(file)
    made["data"]["D1"] = None
    made["data"].merge_cells("C1:D1")
    made["data"].merge_cells("C2:C3")
    made["data"]["D2"] = None
    made.save(file)
    source = open_source(file)
    assert [dict(each.metadata) for each in source.documents()] == [{"seen": "x"}, {}, {}]
    said = "cells merged over several rows were read in the first of these only (1)"
    assert source.remarks[0] == f"Of x.xlsx, {said}."


def test_a_first_row_that_is_no_header_is_a_document(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        [n, f"a text that is long enough to tell that it is no name of a column, number {n}"] for n in (1, 2)
    ]
    shown = preview(saved(tmp_path / "x.xlsx", rows))
    assert shown.columns == ("column 1", "column 2")
    assert [each.document.text for each in shown.documents] == [row[1] for row in rows]
    assert "The first row of x.xlsx is no header; its columns are numbered." in shown.remarks


def test_a_cell_beside_the_named_columns_is_refused_with_its_row(tmp_path: Path) -> None:
    file = saved(tmp_path / "x.xlsx", [["id", "text"], ["a", "one"], ["b", "two", "more"]])
    with pytest.raises(FormatError, match=r"x.xlsx, row 3: there are more cells than columns with a name \(2\)"):
        documents_of(open_source(file))


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1), min_size=1))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_that_a_workbook_holds_comes_out_the_same(tmp_path: Path, texts: list[str]) -> None:
    file = saved(tmp_path / "x.xlsx", [["id", "text"], *([f"d{n}", f".{text}"] for n, text in enumerate(texts))])
    assert [row["text"] for row in rows_of(file)] == [f".{text}" for text in texts]
