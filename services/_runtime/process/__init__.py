"""How a process begins, serves with one or more workers, and ends."""
