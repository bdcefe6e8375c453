"""How the server is set up around the screens: whom and what it lets in."""
