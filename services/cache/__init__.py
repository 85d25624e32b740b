"""The cache: keeps answers and finds them again for the same question by a caller of the same scope."""
