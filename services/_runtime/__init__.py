"""What every Headgate process needs and no service owns."""
