"""Events: what one log line says about one recipient, read from bytes into columns."""
