"""The Holdfast processes that are measured."""
