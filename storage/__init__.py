"""What is kept: collections, documents, queries, judgments, searches, training runs and comparisons, in a database.

Each noun has a store module of functions that take a `Session` first, never commit, and return records.
Storage knows nothing of retrieval or of the screens.
"""
