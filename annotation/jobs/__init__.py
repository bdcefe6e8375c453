"""Work in the background, and in processes of its own."""
