from pathlib import Path

import pytest

from era.errors import DamagedText, FormatError
from era.io import files as entries
from era.io.opening import Choices, open_source, preview
from era.io.text import Block, chunks_of
from tests.era.io.writing_files import documents_of, pdf_of, write

HTML = """<!doctype html><html><head><title>A &amp; B
 page</title><style>p {color: red}</style><script>alert("no")</script></head>
<body><!-- never --><nav>Home</nav><h1>Heading</h1><p>First <b>bold</b>, then
more.<br>
 New <i>line</i></p><div>Second<p>inner</p>third</div><p hidden>unseen</p>
<p style="display: none">unseen</p><template>unseen</template><pre>a
  b</pre></body></html>"""


def words(n: int, word: str = "w") -> str:
    return " ".join(f"{word}{i}" for i in range(n))


def test_html_yields_title_and_visible_paragraphs(tmp_path: Path) -> None:
    (found,) = open_source(write(tmp_path / "page.html", HTML)).documents()
    assert found.document.doc_id == "page.html#1"
    assert found.document.title == "A & B page"
    assert found.document.text.split("\n\n") == [
        "Home",
        "Heading",
        "First bold, then more.\nNew line",
        "Second",
        "inner",
        "third",
        "a\n  b",
    ]
    assert found.metadata == {"file": "page.html"}


@pytest.mark.parametrize(
    "markup",
    ["<div>x " * 20_000, "<b>x " * 20_000, "<!--" * 100_000, "<![CDATA[" * 50_000, "<a b='" * 50_000, "<" * 200_000],
    ids=["nested", "inline", "comments", "sections", "quotes", "brackets"],
)
def test_html_that_never_ends_takes_time_in_proportion_to_its_length(tmp_path: Path, markup: str) -> None:
    """Hold that these are read at all: what looks for each end anew takes minutes here."""
    source = open_source(write(tmp_path / "x.html", f"<p>words here</p>{markup}"))
    assert documents_of(source)[0].text.startswith("words here")


def test_html_that_the_parser_refuses_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "a.html", "<p>fine</p>")
    write(tmp_path / "b.html", "<![x[")
    source = open_source(tmp_path)
    assert [d.text for d in documents_of(source)] == ["fine"]
    assert source.remarks == [
        "1 file was left out that could not be read. b.html: this is not HTML that can be read. Save the page again."
    ]


def test_html_is_read_in_the_encoding_it_names(tmp_path: Path) -> None:
    file = write(tmp_path / "x.html", '<meta charset="windows-1251"><p>Привет</p>', "cp1251")
    assert [d.text for d in documents_of(open_source(file))] == ["Привет"]


def test_markdown_knows_its_headings(tmp_path: Path) -> None:
    text = (
        f"---\ntitle: 'The guide'\n---\n# Start\n\n{words(120)}\n\n## Next C# ##\n\n```\n# no heading\n\nx = 1\n```\n"
    )
    first, second = open_source(write(tmp_path / "guide.md", text)).documents()
    assert first.document.title == second.document.title == "The guide"
    assert first.document.text == f"Start\n\n{words(120)}"
    assert first.metadata == {"file": "guide.md", "section": "Start"}
    assert second.document.text == "Next C#\n\n```\n# no heading\n\nx = 1\n```"
    assert second.metadata == {"file": "guide.md", "section": "Next C#"}


def test_pdf_yields_paragraphs_with_their_pages(tmp_path: Path) -> None:
    long = "This is a line that is as long as the page is wide and so it goes on in the next one,"
    pages = [[long, "with infor-", "mation in it.", long, "end."], [words(190)]]
    (tmp_path / "paper.pdf").write_bytes(pdf_of(pages, title="On lines"))
    first, second = open_source(tmp_path / "paper.pdf").documents()
    assert first.document.title == "On lines"
    assert first.document.text == f"{long} with information in it.\n\n{long} end."
    assert first.metadata == {"file": "paper.pdf", "page": "1"}
    assert second.document.text == words(190)
    assert second.metadata == {"file": "paper.pdf", "page": "2"}


def test_a_folder_of_files_names_passages_after_their_files(tmp_path: Path) -> None:
    write(tmp_path / "a" / "note.txt", f"{words(150)}\n\n{words(100, 'v')}\n\nend")
    write(tmp_path / "b.txt", "Grüße", "cp1252")
    write(tmp_path / "empty.txt", " \n")
    write(tmp_path / "README.md", "about the folder")
    write(tmp_path / ".hidden.txt", "hidden")
    write(tmp_path / "broken.pdf", "%PDF-1.4 but no more")
    (tmp_path / "scan.pdf").write_bytes(pdf_of([[], ["one page with text"]]))
    write(tmp_path / "photo.png", "\0")
    source = open_source(tmp_path)
    assert source.format == "files"
    assert [(d.doc_id, d.title, d.text) for d in documents_of(source)] == [
        ("a/note.txt#1", "note", words(150)),
        ("a/note.txt#2", "note", f"{words(100, 'v')}\n\nend"),
        ("b.txt#1", "b", "Grüße"),
        ("scan.pdf#1", "scan", "one page with text"),
    ]
    assert source.n_bytes_read == source.n_bytes
    not_read, encoding, scanned, empty, broken = source.remarks
    assert not_read == "1 file was not read: photo.png."
    assert encoding.startswith("b.txt is not UTF-8; it was read as cp1252, which is a guess.")
    assert scanned == "scan.pdf: 1 page has no text; scanned pages need text recognition first."
    assert empty == "1 file was without any text left out: empty.txt."
    assert broken.startswith("1 file was left out that could not be read. broken.pdf: this PDF cannot be read")


def test_a_single_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        FormatError, match=r"there is no document with any text. 1 file .* x.pdf: this PDF cannot be read"
    ):
        list(open_source(write(tmp_path / "x.pdf", "%PDF-1.4")).documents())


def test_a_locked_pdf_says_so(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    (tmp_path / "open.pdf").write_bytes(pdf_of([["text"]]))
    writer = PdfWriter(clone_from=PdfReader(tmp_path / "open.pdf"))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "locked.pdf")
    (tmp_path / "open.pdf").unlink()
    with pytest.raises(FormatError, match="this PDF is locked by a password"):
        list(open_source(tmp_path).documents())


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([50, 50, 50, 50], [200]),
        ([50, 50, 50, 51], [150, 51]),
        ([250], [250]),
        ([10, 250, 10], [10, 250, 10]),
        ([700], [200, 200, 200, 100]),
        ([], []),
    ],
)
def test_passages_end_between_paragraphs_at_about_two_hundred_words(sizes: list[int], expected: list[int]) -> None:
    chunks = list(chunks_of(Block(words(size)) for size in sizes))
    assert [len(chunk.text.split()) for chunk in chunks] == expected


def test_long_paragraphs_are_cut_after_sentences() -> None:
    text = f"{words(150)}. {words(120, 'v')}! {words(60, 'u')}?"
    assert [chunk.text for chunk in chunks_of([Block(text)])] == [
        f"{words(150)}.",
        f"{words(120, 'v')}! {words(60, 'u')}?",
    ]


def test_text_without_spaces_is_cut_like_any_other() -> None:
    sentence = "図書館で本を借りる方法を説明します。"  # 17 characters count as nine words, the mark as one
    text = sentence * 50
    chunks = [chunk.text for chunk in chunks_of([Block(text)])]
    assert chunks == [sentence * 20, sentence * 20, sentence * 10]
    assert "".join(chunk.text for chunk in chunks_of([Block("文" * 5000)])) == "文" * 5000
    assert [len(chunk.text) for chunk in chunks_of([Block("x" * 25_000)])] == [10_000, 10_000, 5_000]


def test_what_is_cut_keeps_its_line_breaks() -> None:
    lines = "\n".join(f"{words(60, f'v{n}_')}." for n in range(8))
    assert "\n".join(chunk.text for chunk in chunks_of([Block(lines)])) == lines


def test_headings_without_end_are_passages_of_their_own() -> None:
    chunks = list(chunks_of(Block(words(100, f"v{n}_"), is_heading=True) for n in range(7)))
    assert [len(chunk.text.split()) for chunk in chunks] == [300, 300, 100]


def test_a_title_is_never_longer_than_a_title(tmp_path: Path) -> None:
    write(tmp_path / "x.md", "# " + "word " * 1000)
    assert {len(d.title) for d in documents_of(open_source(tmp_path))} == {300}


def test_a_heading_goes_with_what_follows() -> None:
    blocks = [Block(words(90)), Block("Part two", is_heading=True), Block(words(150, "v"))]
    assert [(chunk.text, chunk.heading) for chunk in chunks_of(blocks)] == [
        (words(90), ""),
        (f"Part two\n\n{words(150, 'v')}", "Part two"),
    ]


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("utf-8", "Žluťoučký kůň"),
        ("utf-8-sig", "id"),
        ("utf-16", "Größe"),
        ("utf-16-le", "Größe and more"),
        ("utf-16-be", "Größe and more"),
        ("utf-32", "Größe"),
        ("cp1252", "Die Prüfung der Größe wäre möglich. Straße und Übung, für Jäger. “So” – 5 €"),
        ("cp1250", "Zażółć gęślą jaźń, proszę państwa, łódź jest źródłem."),
        ("cp1251", "Привет, это обычный русский текст о поиске документов и людей."),
        ("koi8_r", "Привет, это обычный русский текст о поиске документов и людей."),
        ("cp932", "これは文書検索のための日本語の文章です。検索エンジンについて。"),
        ("euc_jp", "これは文書検索のための日本語の文章です。検索エンジンについて。"),
        ("gb18030", "这是关于文档检索的一段中文文本，用于测试编码。"),
        ("cp949", "이것은 문서 검색을 위한 한국어 문장입니다."),
        ("cp1253", "Αυτό είναι ένα ελληνικό κείμενο για αναζήτηση εγγράφων."),
    ],
)
def test_encodings_are_told(tmp_path: Path, codec: str, text: str) -> None:
    file = write(tmp_path / "x.csv", "id,text\n" + "a,plain\n" * 1 + f'b,"{text}"\n', codec)
    source = open_source(file)
    assert [d.text for d in documents_of(source)] == ["plain", text]
    is_unicode = codec.startswith("utf")
    assert any("not UTF-8" in remark for remark in source.remarks) == (not is_unicode)
    assert preview(file).encoding == ("utf-8" if codec == "utf-8-sig" else codec)


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("gb18030", "如何在图书馆借书以及归还书籍，电饭锅的清洁方法"),
        ("cp932", "これは文書検索のための日本語の文章です。検索エンジンについて"),
        ("euc_jp", "これは文書検索のための日本語の文章です。検索エンジンについて"),
        ("cp949", "이것은 문서 검색을 위한 한국어 문장입니다"),
    ],
)
def test_long_text_of_several_bytes_a_character_is_told_wherever_a_sample_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, text: str, shift: int
) -> None:
    monkeypatch.setattr(entries, "_SAMPLE", 6001)
    long = "x" * shift + text * 1500
    file = write(tmp_path / "x.csv", f"id,text\na,{long}\nb,{text}\n", codec)
    assert [d.text for d in documents_of(open_source(file))] == [long, text]
    assert preview(file).encoding == codec


def test_a_guess_has_to_know_every_byte_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is Western; the byte 0x81 at the end is a letter in cp437 and in Mac Roman, and none in cp1252."""
    monkeypatch.setattr(entries, "_SAMPLE", 1000)
    western = "Die Prüfung der Größe wäre möglich. Straße und Übung für Jäger."
    content = "".join(f"{n},{western}\n" for n in range(100)).encode("cp1252")
    (tmp_path / "x.csv").write_bytes(b"id,text\n" + content + b"z,\x81\n")
    codec = preview(tmp_path / "x.csv").encoding
    assert codec != "cp1252"
    assert documents_of(open_source(tmp_path / "x.csv"))[-1].text == b"\x81".decode(codec)


BAD = "id,text\n1,Gr\u00f6\u00dfe und L\u00e4nge\n2,sch\u00f6n\n".encode() + b'3,"na\xefve, \xff"\n'


def test_one_bad_byte_in_utf_8_is_named_by_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(BAD)
    with pytest.raises(
        DamagedText, match=r"x.csv, line 4: the byte 0xEF in column 6 is not UTF-8; the file has 2 places"
    ):
        open_source(tmp_path / "x.csv")
    utf_16 = "id,text\n1,one\n".encode("utf-16") + b"\x00"
    (tmp_path / "y.csv").write_bytes(utf_16)
    with pytest.raises(
        DamagedText, match=r"y.csv, line 3: what stands in column 1 is not utf-16; the file has one place"
    ):
        open_source(tmp_path / "y.csv")


def test_bad_bytes_are_replaced_where_an_encoding_is_chosen(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(BAD)
    source = open_source(tmp_path / "x.csv", choices=Choices(encoding="utf-8"))
    assert [d.text for d in documents_of(source)] == ["Größe und Länge", "schön", "na\ufffdve, \ufffd"]
    assert source.remarks == [
        "x.csv was read as utf-8; \ufffd replaces what did not fit in 2 places, the first in line 4, column 6."
    ]
    (tmp_path / "x.csv").write_bytes(BAD.replace("ö".encode(), b"o"))
    source = open_source(tmp_path / "x.csv", choices=Choices(encoding="windows-1252"))
    assert documents_of(source)[-1].text == "naïve, ÿ"
    assert source.remarks == ["x.csv was read as cp1252, which was chosen."]
    with pytest.raises(ValueError, match=r"There is no encoding 'rot13'. Use one of: utf-8, cp1252"):
        open_source(tmp_path / "x.csv", choices=Choices(encoding="rot13"))


def test_one_old_letter_at_the_end_of_a_long_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(
        b"text\n" + b"some plain words\n" * 100_000 + "Caf\xe9 \xe0 la carte\n".encode("cp1252")
    )
    source = open_source(tmp_path / "x.csv")
    *_, last = documents_of(source)
    assert last.text == "Café à la carte"
    assert any("cp1252" in remark for remark in source.remarks)


def test_progress_counts_the_bytes_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_BLOCK", 8192)
    source = open_source(
        write(tmp_path / "x.csv", "text\n" + "".join(f"some plain words {i}\n" for i in range(10_000)))
    )
    assert source.n_bytes_read == 0
    reading = source.documents()
    seen = []
    for place, _ in enumerate(reading):
        if place % 2500 == 0:
            seen.append(source.n_bytes_read)
    assert 0 < seen[0] < seen[1] < seen[2] < seen[3] <= source.n_bytes_read == source.n_bytes
