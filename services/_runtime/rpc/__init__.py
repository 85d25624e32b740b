"""How calls come in: the server, what each call passes, and what it is refused with."""
