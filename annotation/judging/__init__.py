"""Judging: queries, what to judge for each of them, marks, and what stands."""
