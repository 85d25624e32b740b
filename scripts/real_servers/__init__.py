"""Model servers that nobody here wrote, and what Headgate's adapter gets from them."""
