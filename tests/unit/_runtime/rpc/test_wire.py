"""Fields are counted on the wire, by the rules of protobuf's encoding and at a bounded cost."""

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from headgate.billing.v1 import billing_service_pb2, usage_pb2
from headgate.router.v1 import completion_pb2
from services._runtime.rpc.wire import MOST_FIELDS, field_beyond, shape_of

REQUEST = shape_of(completion_pb2.CompletionRequest.DESCRIPTOR)
QUERY = shape_of(billing_service_pb2.QueryUsageRequest.DESCRIPTOR)


def conversation(messages: int, parts: int, text: str = "hi") -> bytes:
    request = completion_pb2.CompletionRequest(model="fast")
    for _ in range(messages):
        message = request.messages.add(role="ROLE_USER")
        for _ in range(parts):
            message.parts.add(text=text)
    return request.SerializeToString()


def test_the_longest_conversation_that_the_contract_allows_passes() -> None:
    assert field_beyond(conversation(4096, 1), REQUEST) is None


def test_parts_count_in_all_not_for_each_message() -> None:
    assert field_beyond(conversation(1000, 1000), REQUEST) == "messages.parts"


def test_long_texts_are_few_fields() -> None:
    assert field_beyond(conversation(3, 1, "x" * 5_000_000), REQUEST, most=13) is None
    assert field_beyond(conversation(3, 1), REQUEST, most=12) == "messages.parts"


def test_millions_of_empty_messages_are_found_after_a_few() -> None:
    assert field_beyond(b"\x1a\x00" * 4_000_000, REQUEST) == "messages"


def test_packed_numbers_count_one_by_one() -> None:
    query = billing_service_pb2.QueryUsageRequest(
        group_by=[usage_pb2.USAGE_DIMENSION_DAY] * (MOST_FIELDS + 1)
    )
    assert field_beyond(query.SerializeToString(), QUERY) == "group_by"


def test_a_nested_value_of_any_depth_counts() -> None:
    request = completion_pb2.CompletionRequest(provider_options=struct_pb2.Struct())
    request.provider_options.update({"a": [[1]] * MOST_FIELDS})
    beyond = field_beyond(request.SerializeToString(), REQUEST)
    assert beyond is not None
    assert beyond.startswith("provider_options.fields.value")


def test_fields_that_nobody_knows_count_too() -> None:
    assert field_beyond(b"\xf8\x7f\x01" * 30_000, REQUEST) == "the request"


@pytest.mark.parametrize(
    "raw", [b"\x1a", b"\x1a\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x07\x00", b"\xff" * 40, b"\x0b\x0b"]
)
def test_what_is_malformed_is_left_to_the_parser(raw: bytes) -> None:
    assert field_beyond(raw, REQUEST) is None


@given(st.binary(max_size=400), st.integers(0, 50))
def test_no_bytes_at_all_break_it(raw: bytes, most: int) -> None:
    beyond = field_beyond(raw, REQUEST, most)
    assert beyond is None or len(raw) > most


@given(st.integers(1, 40), st.integers(0, 8), st.integers(0, 400))
def test_it_counts_what_was_written(messages: int, parts: int, most: int) -> None:
    fields = 1 + messages * 2 + messages * parts * 2
    assert (field_beyond(conversation(messages, parts), REQUEST, most) is None) is (fields <= most)
