"""Models: what is normal for a subject (baseline), what is too much (rate), how it spreads."""
