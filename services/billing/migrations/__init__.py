"""Alembic's environment of billing's database."""
