"""Image data: prepared once into memory-mapped arrays, cut into batches by index."""
