"""Comparing rankings: one query side by side, all judged queries measured, and what people make of the difference."""
