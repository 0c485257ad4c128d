"""What ``session-mw`` does, a module a command."""
