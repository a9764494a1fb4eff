"""Listings: how they start, are extended and end, and what is never listed."""
