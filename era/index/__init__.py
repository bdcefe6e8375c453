"""What documents are found by: the vectors and the words of a collection."""
