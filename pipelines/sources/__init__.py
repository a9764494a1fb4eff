"""Where records come from: files and their compression, rotation families, whole lines."""
