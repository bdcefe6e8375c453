"""Rankings: what names one, which there are, and how one is searched."""
