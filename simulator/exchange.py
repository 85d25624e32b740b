"""One request from arrival to its last byte: decode, behave as told, answer, and account for it."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from aiohttp import web

from simulator.behaviour import NORMAL, Behaviour, BehaviourError, header_pairs, parse, split_model
from simulator.delivery import BrokenEvents, Delivery, hang
from simulator.errors import ApiError, from_decoding, injected
from simulator.faults import FaultQueue
from simulator.json_example import SchemaError
from simulator.ledger import Ledger, Record
from simulator.models import Models
from simulator.prompt_cache import PromptCache
from simulator.reply import Context, Reply

_LONGEST_ID = 128
_GARBAGE = b"<html><body>upstream says hello</body></html>"


class CheckHeaders(Protocol):
    def __call__(self, headers: Mapping[str, str], *, require_key: bool) -> None:
        """:raises ApiError: for a header that is missing"""


@dataclass(frozen=True, slots=True)
class Api:
    """One endpoint of one API: how its request is read, answered and refused."""

    name: str
    decoder: msgspec.json.Decoder[Any]
    reply: Callable[[Any, Context], Reply]
    error_body: Callable[[ApiError, str], bytes]
    error_event: Callable[[bytes], bytes]
    malformed_event: bytes
    check_headers: CheckHeaders
    id_header: str


@dataclass(frozen=True, slots=True)
class Simulator:
    """The state that all requests share."""

    models: Models
    require_key: bool = False
    ledger: Ledger = field(default_factory=Ledger)
    faults: FaultQueue = field(default_factory=FaultQueue)
    prompt_cache: PromptCache = field(default_factory=PromptCache)

    def behaviour(
        self, headers: Mapping[str, str], model: str, knobs: list[tuple[str, str]], user: str | None
    ) -> Behaviour:
        """Later wins: the model name's knobs, then a fault that waits for this request, then the request's headers."""
        pairs = [*knobs, *self.faults.take(model, user), *header_pairs(headers)]
        try:
            return parse(pairs) if pairs else NORMAL
        except BehaviourError as error:
            raise ApiError(400, str(error), "model", "invalid_value") from error


async def exchange(simulator: Simulator, api: Api, request: web.Request) -> web.StreamResponse:
    now = time.time()
    client_id = request.headers.get("x-client-request-id", request.headers.get("x-request-id", ""))
    record = simulator.ledger.open(api.name, client_id[:_LONGEST_ID], now)
    try:
        return await _answer(simulator, api, request, record)
    except ApiError as error:
        return _refuse(api, error, record)
    except (asyncio.CancelledError, ConnectionError):
        record.outcome = "client_gone"
        raise
    finally:
        if record.outcome == "running":
            record.outcome = "fault"
        record.ended_at = time.time()


async def _answer(simulator: Simulator, api: Api, request: web.Request, record: Record) -> web.StreamResponse:
    api.check_headers(request.headers, require_key=simulator.require_key)
    asked = await _decode(api, request)
    record.model, knobs = split_model(asked.model)
    behaviour = simulator.behaviour(request.headers, record.model, knobs, getattr(asked, "user", None))
    if behaviour.hang:
        await hang()
    if behaviour.status is not None:
        await asyncio.sleep(behaviour.ttft_seconds)
        record.outcome = "fault"
        raise injected(behaviour.status, behaviour.retry_after_seconds)
    simulator.models.check(record.model)
    context = Context(record.id, asked.model, int(record.started_at), behaviour, simulator.prompt_cache)
    reply = _reply(api, asked, context)
    _note(record, reply)
    record.tier = behaviour.tier or ""
    if behaviour.shape is not None:
        reply = reply.shaped(behaviour.shape)
    headers = {api.id_header: f"req_{record.id}"}
    if behaviour.garbage:
        record.outcome, record.status = "fault", 200
        return web.Response(body=_GARBAGE, content_type="text/html", headers=headers)
    failure = ApiError(500, "The simulator was asked to fail while it was answering.")
    events = BrokenEvents(api.error_event(api.error_body(failure, record.id)), api.malformed_event)
    return await Delivery(request, behaviour, record, headers, events).send(reply)


def _reply(api: Api, asked: Any, context: Context) -> Reply:
    try:
        return api.reply(asked, context)
    except SchemaError as error:
        raise ApiError(400, f"Invalid schema: {error}.", code="invalid_json_schema") from error


async def _decode(api: Api, request: web.Request) -> Any:
    try:
        return api.decoder.decode(await request.read())
    except web.HTTPRequestEntityTooLarge as error:
        raise ApiError(413, "The request is larger than the server accepts.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise from_decoding(error) from error


def _note(record: Record, reply: Reply) -> None:
    record.streamed = reply.frames is not None
    record.input_tokens = reply.input_tokens
    record.cached_tokens = reply.cached_tokens
    record.cache_written_tokens = reply.cache_written_tokens
    record.reasoning_tokens = reply.reasoning_tokens


def _refuse(api: Api, error: ApiError, record: Record) -> web.Response:
    record.status = error.status
    if record.outcome == "running":
        record.outcome = "refused"
    headers = {api.id_header: f"req_{record.id}"}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = f"{error.retry_after_seconds:g}"
    body = api.error_body(error, f"req_{record.id}")
    return web.Response(status=error.status, body=body, content_type="application/json", headers=headers)
