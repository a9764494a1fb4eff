"""Following: a live run on log files, with its state in one block store."""
