"""What `headgate demo` shows, step by step, and checks while it shows it."""
