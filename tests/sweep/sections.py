"""A router with one model."""

from typing import Any


def section(model: str = "sim-small@tokens=2", **target: Any) -> dict[str, Any]:
    return {
        "providers": {"sim": {"api": "openai", "base_url": "simulator:/v1"}},
        "targets": {"t": {"provider": "sim", "model": model, **target}},
        "models": {"m": {"targets": ["t"]}},
    }
