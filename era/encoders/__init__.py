"""What turns text into vectors: which embedders there are, how they are loaded, and what they read before."""
