"""Which usage a caller may ask for: its own key's, its user's or its organisation's, and nobody else's by name."""

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import usage_pb2
from headgate.common.v1.caller_pb2 import Caller
from headgate.router.v1 import mine_pb2
from services._runtime.errors import FieldViolation, InvalidFieldError

_SECOND_NS = 10**9
# Whole nanoseconds since 1970 in 64 bits, as the ledger has them, end in April 2262.
_MAX_SECONDS = 9_223_372_035
# In an organisation they are others too.
_PEOPLE = frozenset({usage_pb2.USAGE_DIMENSION_USER, usage_pb2.USAGE_DIMENSION_KEY})


def usage_question(
    caller: Caller, request: mine_pb2.GetMyUsageRequest, now_ns: int
) -> billing.QueryUsageRequest:
    """What billing is asked.

    :raises InvalidFieldError: the answer would show others, or is of no time.
    """
    scope = scope_of(request)
    _require_own(scope, request.group_by)
    return billing.QueryUsageRequest(
        filter=_filter(caller, scope, request, now_ns),
        group_by=request.group_by,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def scope_of(request: mine_pb2.GetMyUsageRequest) -> mine_pb2.Scope.ValueType:
    return request.scope or mine_pb2.SCOPE_KEY


def _require_own(
    scope: mine_pb2.Scope.ValueType, group_by: Sequence[usage_pb2.UsageDimension.ValueType]
) -> None:
    if scope != mine_pb2.SCOPE_ORGANIZATION:
        return
    names = [usage_pb2.UsageDimension.Name(each) if each in _PEOPLE else "" for each in group_by]
    violations = [
        FieldViolation(
            f"group_by[{place}]",
            f"{name} would show others of the organisation; ask with SCOPE_USER or SCOPE_KEY",
        )
        for place, name in enumerate(names)
        if name
    ]
    if violations:
        raise _refused(violations)


def _filter(
    caller: Caller, scope: mine_pb2.Scope.ValueType, request: mine_pb2.GetMyUsageRequest, now_ns: int
) -> usage_pb2.UsageFilter:
    asked = usage_pb2.UsageFilter(
        organization_id=caller.organization_id, model=request.model, provider=request.provider
    )
    # An empty field of a filter matches everything: who has no user, or no key, has no usage of one.
    if scope == mine_pb2.SCOPE_USER:
        asked.user_id = _own(caller.user_id, "the key is the organisation's own and has no user")
    elif scope != mine_pb2.SCOPE_ORGANIZATION:
        asked.key_id = _own(caller.key_id, "no key made this request")
    asked.start_time.CopyFrom(request.start_time if request.HasField("start_time") else _month_start(now_ns))
    start_ns = _time_ns(asked.start_time, "start_time")
    if request.HasField("end_time"):
        asked.end_time.CopyFrom(request.end_time)
        if _time_ns(asked.end_time, "end_time") <= start_ns:
            start = "start_time" if request.HasField("start_time") else "the beginning of this month (UTC)"
            raise _refused([FieldViolation("end_time", f"must be after {start}")])
    return asked


def _own(name: str, missing: str) -> str:
    if not name:
        raise _refused([FieldViolation("scope", f"{missing}; ask with SCOPE_ORGANIZATION")])
    return name


def _month_start(now_ns: int) -> Timestamp:
    now = datetime.fromtimestamp(now_ns // _SECOND_NS, UTC)
    return Timestamp(seconds=int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp()))


def _time_ns(time: Timestamp, field: str) -> int:
    if not (0 <= time.seconds <= _MAX_SECONDS and 0 <= time.nanos < _SECOND_NS):
        raise _refused([FieldViolation(field, "must be a time between 1970 and 2262")])
    return time.seconds * _SECOND_NS + time.nanos


def _refused(violations: list[FieldViolation]) -> InvalidFieldError:
    first = violations[0]
    return InvalidFieldError(f"{first.field}: {first.description}", field_violations=violations)
