"""What a target answers: its events, how they are merged and collected, and whether the cache keeps them."""
