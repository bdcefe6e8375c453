"""The demonstration collection: the standard library's own documentation, with judged needs to try on it."""
