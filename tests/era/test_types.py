from era.types import Document


def test_document_content_puts_the_title_on_a_line_of_its_own() -> None:
    assert Document("1", "Cats", "They purr.").content == "Cats\nThey purr."


def test_document_content_is_the_text_alone_when_there_is_no_title() -> None:
    assert Document("1", "", "They purr.").content == "They purr."
