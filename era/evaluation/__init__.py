"""How well rankings do, and how sure that is."""
