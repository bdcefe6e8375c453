"""Collections: bring them in, open them for search, change them, and delete them."""
