"""The pure detector: tallies and controls in, listing decisions out."""
