"""Where entries are kept, one module per technology."""
