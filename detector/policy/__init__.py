"""The policy: its settings, their text form, and the criteria in words."""
