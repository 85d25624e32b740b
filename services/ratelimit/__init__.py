"""The rate limiter: one atomic decision over every limit that binds a request."""
