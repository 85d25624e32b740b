"""Which provider targets there are, how they fare, and which of them a request goes to."""
