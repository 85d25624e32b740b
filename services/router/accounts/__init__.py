"""Who asks, and what is settled on their account."""
