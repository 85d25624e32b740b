"""Calls to a service: channel, metadata, deadlines; every failure becomes a CommandError."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import grpc

from cli.errors import INTERNAL_REMEDIES, REMEDIES, CommandError, ExitCode, explain
from services._runtime.direct import open_cleartext
from services._runtime.errors import Code
from services._runtime.status import from_rpc_error

# Above what services take, so that their answer names the field that is too long.
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_OPTIONS = [
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
]
DEFAULT_TIMEOUT_SECONDS = 15.0


class Peer:
    """One service as a command sees it."""

    def __init__(self, channel: grpc.Channel, service: str, address: str, token: str) -> None:
        self.channel = channel
        self._service = service
        self._address = address
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def call(
        self,
        method: Callable[..., Any],
        request: Any,
        *,
        timeout_seconds: float | None = DEFAULT_TIMEOUT_SECONDS,
    ) -> Any:
        """:raises CommandError: the call failed."""
        try:
            return method(request, timeout=timeout_seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._explained(error) from None

    def stream(
        self, method: Callable[..., Any], request: Any, *, timeout_seconds: float | None
    ) -> Iterator[Any]:
        """Messages as they come. Whoever stops reading, by Ctrl-C too, cancels the call.

        :raises CommandError: the call failed, possibly after messages.
        """
        call = method(request, timeout=timeout_seconds, metadata=self._metadata)
        try:
            yield from call
        except grpc.RpcError as error:
            raise self._explained(error) from None
        finally:
            call.cancel()

    def _explained(self, error: grpc.RpcError) -> CommandError:
        rpc_error = cast("grpc.aio.AioRpcError", error)
        gateway_error = from_rpc_error(rpc_error)
        # Without a domain no service has said it: the connection failed.
        if gateway_error.code is Code.UNAVAILABLE and not gateway_error.domain:
            return unreachable(self._service, self._address)
        if gateway_error.code is Code.DEADLINE_EXCEEDED and not gateway_error.domain:
            gateway_error.message = f"the {self._service} service did not answer in time"
        return explain(gateway_error, REMEDIES if self._service == "router" else INTERNAL_REMEDIES)


def unreachable(service: str, address: str) -> CommandError:
    return CommandError(
        f"the {service} service can't be reached at {address}",
        f"Start it with `headgate up`, or name another address with --{service}",
        ExitCode.UNREACHABLE,
    )


@contextmanager
def connected(service: str, address: str, token: str) -> Iterator[Peer]:
    target = address if "://" in address or address.startswith("unix:") else f"dns:///{address}"
    with open_cleartext(target, _OPTIONS) as channel:
        yield Peer(channel, service, address, token)
