"""The `enrapt` command, a short file a command."""
