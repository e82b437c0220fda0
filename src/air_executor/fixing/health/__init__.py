"""How healthy a repository is: what is run for it, how its score comes about, and how it went before."""
