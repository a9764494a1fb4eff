"""What a running floodwatch tells over HTTP: whether it is well, and its metrics."""
