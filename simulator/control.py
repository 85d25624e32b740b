"""The control endpoints: health, faults for the next requests, and the ledger of what was served."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from simulator.behaviour import BehaviourError, parse
from simulator.errors import ApiError, from_decoding, openai_body
from simulator.exchange import Simulator
from simulator.faults import Fault
from simulator.ledger import Record

_LONGEST_LISTING = 10_000


class FaultRequest(Struct, forbid_unknown_fields=True):
    faults: dict[str, str | int | float | bool]
    model: str | None = None
    """None: for any model."""
    count: Annotated[int, Meta(ge=1)] | None = 1
    """For how many requests; null: until cleared."""
    user: str | None = None
    """None: of any end user."""


_FAULTS = msgspec.json.Decoder(FaultRequest)


class Control:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/control/health", self.health),
            web.get("/control/faults", self.list_faults),
            web.post("/control/faults", self.add_fault),
            web.delete("/control/faults", self.clear_faults),
            web.get("/control/served", self.list_served),
            web.delete("/control/served", self.reset_served),
        ]

    async def health(self, _request: web.Request) -> web.Response:
        return _json({"status": "ok", "served": self._simulator.ledger.last_seq})

    async def list_faults(self, _request: web.Request) -> web.Response:
        faults = self._simulator.faults.pending()
        return _json(
            {
                "faults": [
                    {"faults": dict(f.pairs), "model": f.model, "remaining": f.remaining, "user": f.user}
                    for f in faults
                ]
            }
        )

    async def add_fault(self, request: web.Request) -> web.Response:
        try:
            asked = _FAULTS.decode(await request.read())
            pairs = tuple((name, _written(value)) for name, value in asked.faults.items())
            parse(pairs)
        except msgspec.DecodeError as error:
            return _refused(from_decoding(error))
        except BehaviourError as error:
            return _refused(ApiError(400, str(error), "faults", "invalid_value"))
        self._simulator.faults.add(Fault(pairs, asked.model, asked.count, asked.user))
        return web.Response(status=204)

    async def clear_faults(self, request: web.Request) -> web.Response:
        """`user`: only those for one end user."""
        self._simulator.faults.clear(request.query.get("user"))
        return web.Response(status=204)

    async def list_served(self, request: web.Request) -> web.Response:
        """`since`: only records after this number; `request_id`: only those of one client request.

        At most 10,000 in one answer: ask again with `since=<next>` until the list is empty.
        """
        try:
            since = int(request.query.get("since", "0"))
        except ValueError:
            return _refused(ApiError(400, "'since' is not a whole number.", "since", "invalid_value"))
        records = list(islice(self._matching(since, request.query.get("request_id")), _LONGEST_LISTING))
        following = records[-1].seq if records else since
        return _json({"served": records, "next": following})

    async def reset_served(self, _request: web.Request) -> web.Response:
        self._simulator.ledger.reset()
        return web.Response(status=204)

    def _matching(self, since: int, request_id: str | None) -> Iterator[Record]:
        return (each for each in self._simulator.ledger.since(since) if request_id in (None, each.request_id))


def _written(value: str | float) -> str:
    """A JSON value as it would be written in a header."""
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _refused(error: ApiError) -> web.Response:
    return web.Response(status=error.status, body=openai_body(error, ""), content_type="application/json")
