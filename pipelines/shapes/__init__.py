"""Shapes: how records of other formats become events."""
