"""Readers of raw mail server logs: lines in; events, rejects and counts out."""
