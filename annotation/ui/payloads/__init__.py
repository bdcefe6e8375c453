"""What the screens show, as JSON-ready values: the last stop of every flow, where records become words and numbers.

Texts go out as they are; the page puts them in as text, never as markup. One module per screen.
"""
