"""A stand-in model server: the OpenAI and Anthropic HTTP APIs, with pacing, faults and a ledger of what it served."""

from simulator.server import running

__all__ = ["running"]
