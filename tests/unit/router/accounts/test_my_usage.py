"""Whatever a caller asks, billing is asked about that caller alone."""

from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from headgate.billing.v1 import usage_pb2
from headgate.common.v1.caller_pb2 import Caller
from headgate.router.v1 import mine_pb2
from services._runtime.errors import InvalidFieldError
from services.router.accounts.my_usage import usage_question

ANN = Caller(organization_id="acme", user_id="ann", key_id="k1")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY, MODEL, USER, KEY, ORGANIZATION = (
    usage_pb2.USAGE_DIMENSION_DAY,
    usage_pb2.USAGE_DIMENSION_MODEL,
    usage_pb2.USAGE_DIMENSION_USER,
    usage_pb2.USAGE_DIMENSION_KEY,
    usage_pb2.USAGE_DIMENSION_ORGANIZATION,
)
GROUPS = [number for number in usage_pb2.UsageDimension.values() if number]
SCOPES = [number for number in mine_pb2.Scope.values() if number != mine_pb2.SCOPE_INSTALLATION]


def at(moment: datetime) -> Timestamp:
    return Timestamp(seconds=int(moment.timestamp()))


def asked(caller: Caller = ANN, now: datetime = NOON, **fields: Any) -> usage_pb2.UsageFilter:
    request = mine_pb2.GetMyUsageRequest(**fields)
    return usage_question(caller, request, int(now.timestamp()) * 10**9).filter


def fields_refused(caller: Caller = ANN, **fields: Any) -> list[str]:
    with pytest.raises(InvalidFieldError) as refused:
        asked(caller, **fields)
    assert refused.value.reason == "INVALID_FIELD"
    return [violation.field for violation in refused.value.field_violations]


@pytest.mark.parametrize(
    ("scope", "user_id", "key_id"),
    [
        (mine_pb2.SCOPE_UNSPECIFIED, "", "k1"),
        (mine_pb2.SCOPE_KEY, "", "k1"),
        (mine_pb2.SCOPE_USER, "ann", ""),
        (mine_pb2.SCOPE_ORGANIZATION, "", ""),
    ],
)
def test_a_scope_names_the_caller_and_always_its_organisation(scope: int, user_id: str, key_id: str) -> None:
    where = asked(scope=scope)
    assert (where.organization_id, where.user_id, where.key_id) == ("acme", user_id, key_id)


def test_without_a_time_it_is_the_current_month_in_utc() -> None:
    where = asked()
    assert where.start_time == at(datetime(2026, 11, 1, tzinfo=UTC))
    assert not where.HasField("end_time")
    first = datetime(2027, 1, 1, tzinfo=UTC)
    assert asked(now=first).start_time == at(first)


def test_times_models_and_providers_are_asked_for_as_they_were_given() -> None:
    day: dict[str, Any] = {
        "start_time": at(datetime(2026, 3, 1, tzinfo=UTC)),
        "end_time": at(datetime(2026, 3, 2, tzinfo=UTC)),
    }
    where = asked(**day, model="m", provider="p")
    assert (where.start_time, where.end_time) == (day["start_time"], day["end_time"])
    assert (where.model, where.provider) == ("m", "p")


@pytest.mark.parametrize("group", [USER, KEY])
def test_in_an_organisation_users_and_keys_are_not_told_apart(group: int) -> None:
    refused = fields_refused(scope=mine_pb2.SCOPE_ORGANIZATION, group_by=[DAY, group, MODEL])
    assert refused == ["group_by[1]"]


@pytest.mark.parametrize("scope", [mine_pb2.SCOPE_KEY, mine_pb2.SCOPE_USER])
def test_ones_own_usage_is_grouped_by_anything(scope: mine_pb2.Scope.ValueType) -> None:
    request = mine_pb2.GetMyUsageRequest(scope=scope, group_by=GROUPS, page_size=7, page_token="t")
    question = usage_question(ANN, request, 0)
    assert list(question.group_by) == GROUPS
    assert (question.page_size, question.page_token) == (7, "t")


def test_a_key_without_a_user_has_no_users_usage() -> None:
    """An empty user in billing's filter would be every user."""
    own = Caller(organization_id="acme", key_id="k2")
    assert fields_refused(own, scope=mine_pb2.SCOPE_USER) == ["scope"]
    assert fields_refused(Caller(organization_id="acme")) == ["scope"]


@pytest.mark.parametrize(
    ("times", "field"),
    [
        ({"end_time": at(datetime(2026, 11, 1, tzinfo=UTC))}, "end_time"),
        ({"start_time": at(NOON), "end_time": at(NOON)}, "end_time"),
        ({"start_time": Timestamp(seconds=-1)}, "start_time"),
        ({"end_time": Timestamp(seconds=9_223_372_036)}, "end_time"),
        ({"end_time": Timestamp(seconds=1_900_000_000, nanos=10**9)}, "end_time"),
    ],
)
def test_a_time_that_is_none_or_holds_nothing_is_refused_by_its_field(
    times: dict[str, Any], field: str
) -> None:
    assert fields_refused(**times) == [field]


@given(
    st.builds(
        mine_pb2.GetMyUsageRequest,
        scope=st.sampled_from(SCOPES),
        group_by=st.lists(st.sampled_from(GROUPS), unique=True),
        model=st.text(max_size=5),
        provider=st.text(max_size=5),
        page_token=st.text(max_size=5),
    )
)
def test_no_request_is_answered_with_anybody_else(request: mine_pb2.GetMyUsageRequest) -> None:
    try:
        question = usage_question(ANN, request, 0)
    except InvalidFieldError:
        assert request.scope == mine_pb2.SCOPE_ORGANIZATION
        assert {USER, KEY} & set(request.group_by)
        return
    where = question.filter
    assert where.organization_id == "acme"
    assert where.user_id in {"", "ann"}
    assert where.key_id in {"", "k1"}
    if not where.user_id and not where.key_id:
        assert not {USER, KEY} & set(question.group_by)
