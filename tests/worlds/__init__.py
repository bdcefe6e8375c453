"""Made-up worlds, shared by the tests: small collections, desks, models and old databases."""
