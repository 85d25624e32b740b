"""The routes of the simulator's HTTP application."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from simulator import tokenize
from simulator.apis import BY_PATH, check_openai_key
from simulator.control import Control
from simulator.errors import ApiError, openai_body
from simulator.exchange import Api, Simulator, exchange

_LARGEST_REQUEST_BYTES = 64 * 1024 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(simulator: Simulator) -> web.Application:
    app = web.Application(client_max_size=_LARGEST_REQUEST_BYTES)
    app.add_routes([web.post(path, _endpoint(simulator, api)) for path, api in BY_PATH.items()])
    app.add_routes(
        [web.get("/v1/models", _models(simulator)), web.get("/v1/models/{id:.+}", _models(simulator))]
    )
    app.add_routes(Control(simulator).routes())
    app.add_routes(tokenize.routes())
    return app


def _endpoint(simulator: Simulator, api: Api) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        return await exchange(simulator, api, request)

    return serve


def _models(simulator: Simulator) -> Handler:
    """All models, or the one that the path names."""

    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            check_openai_key(request.headers, require_key=simulator.require_key)
            return _json(200, msgspec.json.encode(_described(simulator, request.match_info.get("id"))))
        except ApiError as error:
            return _json(error.status, openai_body(error, ""))

    return serve


def _described(simulator: Simulator, name: str | None) -> object:
    if name is None:
        return simulator.models.listing()
    simulator.models.check(name)
    return simulator.models.describe(name)


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")
