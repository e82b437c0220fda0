"""In which batches issues are mended."""
