"""What stands in a label set: every mark as it is now, what judges agree on, and counts."""
