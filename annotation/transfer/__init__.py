"""What leaves the app and comes in again: judgments, rankings, training triplets, adapters and models."""
