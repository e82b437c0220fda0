"""One tool's check a file. What they share: `programs` finds them, `output` reads what they print."""
