"""Judgement: whether a victim is flooded, and which sources take part."""
