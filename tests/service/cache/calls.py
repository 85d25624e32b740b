"""Requests of the cache's service tests, and what a refusal says."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from headgate.cache.v1 import cache_service_pb2 as pb
from headgate.common.v1.caller_pb2 import Caller
from services._runtime.errors import GatewayError
from services._runtime.status import from_rpc_error

TIMEOUT_SECONDS = 20


def ask(content: bytes, organization: str = "org", user: str = "alice", **more: Any) -> pb.LookupRequest:
    caller = Caller(organization_id=organization, user_id=user, key_id="key-1")
    return pb.LookupRequest(**{"caller": caller, "model": "model", "content": content, **more})


def answer(key: bytes, value: bytes = b"because", organization: str = "org", **more: Any) -> pb.StoreRequest:
    return pb.StoreRequest(
        **{"key": key, "caller": Caller(organization_id=organization), "value": value, **more}
    )


def refusal(rpc: Callable[..., Any], request: Any, **call: Any) -> GatewayError:
    with pytest.raises(grpc.RpcError) as refused:
        rpc(request, timeout=TIMEOUT_SECONDS, **call)
    return from_rpc_error(refused.value)  # type: ignore[arg-type]


def fields(error: GatewayError) -> list[str]:
    return [violation.field for violation in error.field_violations]
