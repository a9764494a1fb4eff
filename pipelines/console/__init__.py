"""The console: messages, metrics and safe output of a running process."""
