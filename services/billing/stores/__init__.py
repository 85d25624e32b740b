"""Where billing's state is kept; each package is named for its technology."""
