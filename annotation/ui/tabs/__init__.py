"""The four tabs: what happens when a person does something on a screen."""
