"""Field paths, and the field that makes a message too large."""

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from headgate.router.v1.completion_pb2 import CompletionRequest
from services._runtime.address import is_loopback, join_host_port, split_host_port
from services._runtime.errors import InvalidFieldError
from services._runtime.rpc.validation import largest_field, validate


def test_the_largest_field_is_followed_down_to_the_text_itself() -> None:
    message = struct_pb2.ListValue()
    message.add_struct().update({"inner": "x" * 500})
    path, size = largest_field(message)
    assert path == 'values[0].struct_value.fields["inner"].string_value'
    assert size == 500


def test_a_message_with_many_equal_fields_is_named_where_they_part() -> None:
    message = struct_pb2.Struct()
    message.update({"list": ["x" * 10] * 50})
    assert largest_field(message)[0] == 'fields["list"].list_value'


def test_an_empty_message_has_no_largest_field() -> None:
    assert largest_field(struct_pb2.Struct()) == ("", 0)


@given(st.sampled_from(["127.0.0.1", "localhost", "::1", "0.0.0.0", "example.org"]), st.integers(0, 65535))  # noqa: S104
def test_host_and_port_survive_being_joined_and_split(host: str, port: int) -> None:
    assert split_host_port(join_host_port(host, port)) == (host, port)


def test_only_this_machines_own_addresses_are_loopback() -> None:
    hosts = ["127.0.0.1", "127.8.8.8", "::1", "localhost", "0.0.0.0", "::", "10.0.0.1", "router"]  # noqa: S104
    assert [host for host in hosts if is_loopback(host)] == ["127.0.0.1", "127.8.8.8", "::1", "localhost"]


def test_a_key_with_characters_that_cannot_be_seen_is_named_so_that_they_can() -> None:
    with pytest.raises(InvalidFieldError) as refusal:
        validate(CompletionRequest(model="m", prompt="hi", labels={'a\n"é': "x"}))
    (violation,) = refusal.value.field_violations
    assert violation.field == 'labels["a\\n\\"é"]'
    assert violation.description.startswith("must not contain control characters")
