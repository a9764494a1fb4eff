"""HTTP endpoints of a running floodwatch: health and metrics."""
