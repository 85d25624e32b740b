"""Channels that lead straight to the peer that they name, so that no proxy of the environment reads a token or an API key."""

from collections.abc import Sequence
from typing import Any

import grpc

NO_PROXY: tuple[str, int] = ("grpc.enable_http_proxy", 0)
"""gRPC would else ask `http_proxy`, `https_proxy` and `grpc_proxy`, and go through them in clear to this machine, too."""

Options = Sequence[tuple[str, Any]]


def open_cleartext(target: str, options: Options = ()) -> grpc.Channel:
    return grpc.insecure_channel(target, (*options, NO_PROXY))


def open_cleartext_aio(target: str, options: Options = ()) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(target, (*options, NO_PROXY))


def open_tls_aio(
    target: str, credentials: grpc.ChannelCredentials, options: Options = ()
) -> grpc.aio.Channel:
    return grpc.aio.secure_channel(target, credentials, (*options, NO_PROXY))
