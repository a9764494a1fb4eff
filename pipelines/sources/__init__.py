"""Where records come from: files and what they are packed in, rotation families, whole lines."""
