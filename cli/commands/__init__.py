"""One module per command: its arguments, its requests, what it prints."""
