"""Tallies: the events of one partition, counted by second."""
