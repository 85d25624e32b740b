"""Adapters to model providers, one module per API; `registry.build` makes one from its configuration."""
