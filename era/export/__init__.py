"""An adapter as a model for use elsewhere."""
