"""What the router takes, billing takes: the texts of a request that go to the ledger have no narrower rule there."""

import pytest
from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor

from headgate.billing.v1 import usage_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2
from headgate.router.v1 import completion_pb2

REQUEST, RECORD = completion_pb2.CompletionRequest.DESCRIPTOR, usage_pb2.UsageRecord.DESCRIPTOR
RESERVE = ratelimit_service_pb2.ReserveRequest.DESCRIPTOR
SAME = [
    ("end_user_id", RECORD, "end_user_id"),
    ("service_tier", RECORD, "service_tier"),
    ("model", RECORD, "requested_model"),
    ("labels", RECORD, "labels"),
    ("model", RESERVE, "model"),
    ("labels", RESERVE, "labels"),
]


def rules(field: FieldDescriptor) -> validate_pb2.FieldRules:
    found: validate_pb2.FieldRules = field.GetOptions().Extensions[validate_pb2.field]
    return found


def assert_no_narrower(here: validate_pb2.StringRules, there: validate_pb2.StringRules) -> None:
    if there.HasField("max_len"):
        assert here.max_len <= there.max_len
    assert here.min_len >= there.min_len
    assert there.pattern in ("", here.pattern)
    assert not there.HasField("max_bytes")


@pytest.mark.parametrize(("name", "message", "other"), SAME)
def test_a_text_that_the_router_takes_is_taken(name: str, message: object, other: str) -> None:
    here, there = rules(REQUEST.fields_by_name[name]), rules(message.fields_by_name[other])  # type: ignore[attr-defined]
    assert_no_narrower(here.string, there.string)
    assert_no_narrower(here.map.keys.string, there.map.keys.string)
    assert_no_narrower(here.map.values.string, there.map.values.string)
    if there.map.HasField("max_pairs"):
        assert here.map.max_pairs <= there.map.max_pairs
