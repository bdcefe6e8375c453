"""An open collection: its index, its embedders, and what ranks its documents; no database here."""
