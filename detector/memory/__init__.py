"""Memory: what the detector keeps of past traffic, from sliding windows to learned normals."""
