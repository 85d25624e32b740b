"""GatewayError and google.rpc.Status, there and back."""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from services._runtime.errors import Code, FieldViolation, GatewayError, QuotaViolation
from services._runtime.status import (
    DETAILS_KEY,
    MAX_STATUS_BYTES,
    PUSHBACK_KEY,
    from_rpc_error,
    from_status,
    to_status,
    to_wire,
)

DOMAIN = "router.headgate"
SHORT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=3000)


class TooMuchError(GatewayError):
    code = Code.RESOURCE_EXHAUSTED
    reason = "RATE_LIMITED"


def errors(text: st.SearchStrategy[str], violations: int) -> st.SearchStrategy[GatewayError]:
    def make(code: Code, message: str, **details: Any) -> GatewayError:
        error = GatewayError(message, **details)
        error.code, error.reason = code, f"REASON_{code}"
        return error

    return st.builds(
        make,
        st.sampled_from(Code),
        text,
        retry_after_seconds=st.none() | st.integers(0, 10_000_000).map(lambda ms: ms / 1000),
        field_violations=st.lists(st.builds(FieldViolation, text, text), max_size=violations),
        quota_violations=st.lists(st.builds(QuotaViolation, text, text), max_size=violations),
        metadata=st.dictionaries(text, text, max_size=violations),
    )


@given(errors(SHORT, 3))
def test_an_error_of_ordinary_size_survives_the_wire_whole(error: GatewayError) -> None:
    back = from_status(status_pb2.Status.FromString(to_status(error, DOMAIN).SerializeToString()))
    assert (back.code, back.reason, back.domain, back.message) == (
        error.code,
        error.reason,
        DOMAIN,
        error.message,
    )
    assert back.retry_after_seconds == pytest.approx(error.retry_after_seconds)
    assert back.field_violations == error.field_violations
    assert back.quota_violations == error.quota_violations
    assert back.metadata == error.metadata


@given(errors(ANY_TEXT, 40))
def test_any_error_fits_in_4_kb_with_one_error_info_and_each_detail_at_most_once(error: GatewayError) -> None:
    status = to_status(error, DOMAIN)
    types = [detail.TypeName() for detail in status.details]
    assert status.ByteSize() <= MAX_STATUS_BYTES
    assert types.count("google.rpc.ErrorInfo") == 1
    assert len(types) == len(set(types))
    assert ("google.rpc.BadRequest" in types) == bool(error.field_violations)
    assert ("google.rpc.QuotaFailure" in types) == bool(error.quota_violations)


def test_violations_that_do_not_fit_are_counted() -> None:
    error = GatewayError("bad", field_violations=[FieldViolation(f"f{n}", "x" * 200) for n in range(100)])
    kept = from_status(to_status(error, DOMAIN)).field_violations
    assert kept[-1] == FieldViolation("", f"and {100 - (len(kept) - 1)} more")


def test_a_text_that_is_cut_says_so() -> None:
    assert to_status(GatewayError("é" * 5000), DOMAIN).message.endswith("é…")


def test_a_kind_of_error_keeps_its_code_and_reason() -> None:
    wire = to_wire(TooMuchError("slow down", retry_after_seconds=1.5), DOMAIN)
    status = status_pb2.Status.FromString(dict(wire.trailing)[DETAILS_KEY])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert wire.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("RATE_LIMITED", DOMAIN)
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_an_error_read_from_a_peer_keeps_the_peers_domain_when_passed_on() -> None:
    from_peer = from_status(to_status(TooMuchError("slow down"), "ratelimit.headgate"))
    assert from_status(to_status(from_peer, DOMAIN)).domain == "ratelimit.headgate"


def rpc_error(**details: Any) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata(*details.pop("trailing", ()))
    return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), trailing, **details)


def test_an_error_that_must_not_be_retried_says_so_in_grpcs_own_way() -> None:
    wire = to_wire(GatewayError("half was sent", retryable=False), DOMAIN)
    assert dict(wire.trailing)[PUSHBACK_KEY] == "-1"
    assert not from_rpc_error(rpc_error(trailing=wire.trailing)).retryable


def test_a_peers_bare_status_becomes_an_error_of_its_code() -> None:
    error = from_rpc_error(rpc_error(details="connection refused"))
    assert (error.code, error.reason, error.message) == (
        Code.UNAVAILABLE,
        "PEER_UNAVAILABLE",
        "connection refused",
    )
    assert error.retryable


def test_details_that_are_garbage_are_ignored() -> None:
    error = from_rpc_error(rpc_error(trailing=[(DETAILS_KEY, b"\xff\xff\xff")], details="odd"))
    assert (error.code, error.message) == (Code.UNAVAILABLE, "odd")
