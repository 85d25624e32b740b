"""Calls to a peer: the channel's settings, explicit deadlines, metadata, and retries within a budget."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc

from services._runtime import context
from services._runtime.calling.retry import MAX_ATTEMPTS, RetryBudget, backoff_seconds
from services._runtime.configuration.environment import Secret
from services._runtime.context import REQUEST_ID_KEY
from services._runtime.direct import open_cleartext_aio, open_tls_aio
from services._runtime.errors import Code, DeadlineExceededError, GatewayError
from services._runtime.status import from_rpc_error
from services._runtime.telemetry.tracing import LINKS_KEY, TRACEPARENT_KEY, render_links

MAX_MESSAGE_BYTES = 20 * 1024 * 1024
HOP_MARGIN_SECONDS = 0.005

_SERVICE_CONFIG = '{"loadBalancingConfig":[{"round_robin":{}}]}'


def open_channel(
    address: str,
    *,
    tls_ca_file: Path | None = None,
    tls_cert_file: Path | None = None,
    tls_key_file: Path | None = None,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> grpc.aio.Channel:
    """A channel to every replica behind `address` (`host:port`, or a target with its own scheme).

    Its connections are its own: several channels reach several of the workers that share a port. With `tls_ca_file` it is
    TLS; certificate and key are the client's own, where the peer asks for them.
    """
    has_scheme = "://" in address or address.startswith(("unix:", "ipv4:", "ipv6:"))
    target = address if has_scheme else f"dns:///{address}"
    options = channel_options(max_message_bytes)
    if tls_ca_file is None:
        return open_cleartext_aio(target, options)
    own = [None if file is None else file.read_bytes() for file in (tls_key_file, tls_cert_file)]
    credentials = grpc.ssl_channel_credentials(tls_ca_file.read_bytes(), *own)
    return open_tls_aio(target, credentials, options)


def channel_options(max_message_bytes: int) -> list[tuple[str, str | int]]:
    return [
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # A peer that is back is reached within a second; the least is also what an attempt to connect may take.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 2_000),
        ("grpc.max_reconnect_backoff_ms", 1_000),
    ]


class Caller:
    """Makes calls to one peer; every failure is a GatewayError, translated here and only here.

    A unary call that fails as UNAVAILABLE is tried again while its time and the budget allow. RPCs called through
    this must therefore be safe to repeat.
    """

    def __init__(
        self,
        token: Secret | None = None,
        budget: RetryBudget | None = None,
        *,
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self.authorization = () if token is None else (("authorization", f"Bearer {token.reveal()}"),)
        self._budget = budget or RetryBudget()
        self._random_unit = random_unit

    async def call(self, multicallable: Callable[..., Any], request: Any, *, timeout_seconds: float) -> Any:
        """The response, within `timeout_seconds` and the current request's own deadline, retries included.

        :raises GatewayError: the peer's error, or that of reaching it.
        """
        ends_at = _ends_at(timeout_seconds)
        metadata = self.metadata()
        self._budget.deposit()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return await multicallable(request, timeout=_left(ends_at), metadata=metadata)
            except grpc.aio.AioRpcError as rpc_error:
                error = from_rpc_error(rpc_error)
            if not self._may_retry(error, attempt):
                raise error
            pause = max(backoff_seconds(attempt + 1, self._random_unit()), error.retry_after_seconds or 0.0)
            if time.monotonic() + pause >= ends_at:
                raise error
            await asyncio.sleep(pause)
        raise error

    async def stream(
        self, multicallable: Callable[..., Any], request: Any, *, timeout_seconds: float
    ) -> AsyncIterator[Any]:
        """The messages of a response stream; never retried. Closing the iterator cancels the call."""
        left = _left(_ends_at(timeout_seconds))
        call = multicallable(request, timeout=left, metadata=self.metadata())
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as rpc_error:
            raise from_rpc_error(rpc_error) from None
        finally:
            call.cancel()

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The internal token, and the ids of the current request."""
        request = context.current()
        metadata = list(self.authorization)
        if request.request_id:
            metadata.append((REQUEST_ID_KEY, request.request_id))
        if (traceparent := request.traceparent) is not None:
            metadata.append((TRACEPARENT_KEY, traceparent))
        if request.links:
            metadata.append((LINKS_KEY, render_links(request.links)))
        return tuple(metadata)

    def _may_retry(self, error: GatewayError, attempt: int) -> bool:
        return (
            error.code is Code.UNAVAILABLE
            and error.retryable
            and attempt < MAX_ATTEMPTS
            and self._budget.withdraw(time.monotonic())
        )


def _ends_at(timeout_seconds: float) -> float:
    ends_at = time.monotonic() + timeout_seconds
    deadline = context.current().deadline
    return ends_at if deadline is None else min(ends_at, deadline - HOP_MARGIN_SECONDS)


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise DeadlineExceededError("no time was left for a call to a peer")
    return left
