"""Settings: the configuration files, their keys, and errors in them."""
