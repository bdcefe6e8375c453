"""ERA: adapt retrieval to an expert's intent from a handful of labels, without rebuilding the document index.

A strong embedder reads the query, a light one has read the documents; stage 1 aligns the two spaces without labels,
stage 2 adapts the query side from a few labelled queries (arXiv 2604.03403). This package knows no user interface and
no database.
"""
