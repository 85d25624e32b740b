"""What a refused call tells, as its caller reads it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass
class Refusal:
    """`fields` are those of BadRequest; `retry_seconds` is None when no retry is offered."""

    code: grpc.StatusCode | None = None
    message: str = ""
    reason: str = ""
    domain: str = ""
    fields: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    retry_seconds: float | None = None


@contextmanager
def refused() -> Iterator[Refusal]:
    """The body must be refused with details; the yielded object then tells how."""
    refusal = Refusal()
    with pytest.raises(grpc.RpcError) as failed:
        yield refusal
    read_refusal(failed.value, refusal)


def read_refusal(error: Any, into: Refusal) -> None:
    into.code, into.message = error.code(), error.details()
    status = rpc_status.from_call(_Call(error))
    assert status is not None, f"a refusal without details: {error}"
    for detail in status.details:
        _read(detail, into)


def _read(detail: Any, into: Refusal) -> None:
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry, quota = error_details_pb2.RetryInfo(), error_details_pb2.QuotaFailure()
    if detail.Unpack(info):
        into.reason, into.domain = info.reason, info.domain
    elif detail.Unpack(bad):
        into.fields = tuple(violation.field for violation in bad.field_violations)
    elif detail.Unpack(retry):
        into.retry_seconds = retry.retry_delay.ToNanoseconds() / 1e9
    elif detail.Unpack(quota):
        into.subjects = tuple(violation.subject for violation in quota.violations)


class _Call:
    """An error of a sync or of an aio call, with its trailing metadata as the sync one has it."""

    def __init__(self, error: Any) -> None:
        self._error = error

    def code(self) -> grpc.StatusCode:
        code: grpc.StatusCode = self._error.code()
        return code

    def details(self) -> str:
        return str(self._error.details())

    def trailing_metadata(self) -> tuple[tuple[str, Any], ...]:
        return tuple((str(key), value) for key, value in self._error.trailing_metadata() or ())
