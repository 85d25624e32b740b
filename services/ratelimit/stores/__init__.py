"""Adapters of the ports in `store.py`, named after their technology."""
