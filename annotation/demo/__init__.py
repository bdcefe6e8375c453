"""The demonstration collections, read from what is installed: emoji, and the standard library's own documentation."""
