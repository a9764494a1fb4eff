"""Live operation: the stages as tasks that follow their topics."""
