"""Billing: who may ask, what it may cost, and what it did cost."""
