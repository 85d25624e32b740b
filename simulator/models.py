"""The models on offer: any name that starts with `sim-`, and names that the operator adds."""

from collections.abc import Iterable

from simulator.errors import ApiError

_PREFIX = "sim-"
_LISTED = ("sim-small", "sim-medium", "sim-large", "sim-reasoning", "sim-embedding")
_CREATED = 1_715_367_049


class Models:
    """Those listed are examples of `sim-…`; a name with `reasoning` in it reasons without being asked."""

    def __init__(self, added: Iterable[str] = ()) -> None:
        self._names = (*_LISTED, *added)

    def check(self, name: str) -> None:
        """:raises ApiError: 404 when there is no such model"""
        if not (name.startswith(_PREFIX) or name in self._names):
            message = f"The model `{name}` does not exist or you do not have access to it."
            raise ApiError(404, message, "model", "model_not_found")

    def describe(self, name: str) -> dict[str, str | int]:
        return {"id": name, "object": "model", "created": _CREATED, "owned_by": "simulator"}

    def listing(self) -> dict[str, object]:
        return {"object": "list", "data": [self.describe(name) for name in self._names]}
