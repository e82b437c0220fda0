"""The state of jobs as a folder of plain files: where they are, how they are written, how they are read."""
