"""Where what the journals tell is sent to. Each takes at its own speed and keeps nobody waiting."""
