"""A second generator of mail traffic with known floods, independent of the first."""
