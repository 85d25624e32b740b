"""What is measured: each contender is started as its users would start it."""
