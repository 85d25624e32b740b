"""How calls go out to peers: channels, retries, paced batches, exchanges."""
