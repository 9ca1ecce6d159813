"""Placeholder docstring, replaced by the stage's own."""
