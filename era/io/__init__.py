"""Files that people have and files that other tools read: documents, queries, judgments and rankings, in and out.

Nothing here stores, embeds or knows a database; what is read streams where the format allows it.
"""
