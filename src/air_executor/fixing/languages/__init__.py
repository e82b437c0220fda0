"""One file a language: what its projects look like, and which checks they have."""
