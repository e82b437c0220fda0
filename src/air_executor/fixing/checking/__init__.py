"""Running the checks of projects as the tasks of one job: what is found, started, read, kept by content."""
