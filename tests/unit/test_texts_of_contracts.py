"""What the router takes, its peers take: no text that a request brings to them meets a narrower rule there."""

from collections.abc import Iterator

import pytest
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from pydantic import ValidationError

from headgate.billing.v1 import billing_service_pb2, usage_pb2
from headgate.cache.v1 import cache_service_pb2
from headgate.common.v1 import caller_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2
from headgate.router.v1 import completion_pb2
from services.router.targets.config import RouterConfig

REQUEST = completion_pb2.CompletionRequest.DESCRIPTOR
CALLER = caller_pb2.Caller.DESCRIPTOR
RECORD, CANDIDATE = usage_pb2.UsageRecord.DESCRIPTOR, billing_service_pb2.Candidate.DESCRIPTOR
TOLD = [
    ratelimit_service_pb2.ReserveRequest.DESCRIPTOR,
    cache_service_pb2.LookupRequest.DESCRIPTOR,
    cache_service_pb2.StoreRequest.DESCRIPTOR,
    billing_service_pb2.AuthorizeRequest.DESCRIPTOR,
    billing_service_pb2.CaptureRequest.DESCRIPTOR,
]
"""What the router sends to its peers for a completion."""
FROM_THE_REQUEST = {
    "ReserveRequest.model": "model",
    "ReserveRequest.labels": "labels",
    "AuthorizeRequest.labels": "labels",
    "UsageRecord.requested_model": "model",
    "UsageRecord.labels": "labels",
    "UsageRecord.end_user_id": "end_user_id",
    "UsageRecord.service_tier": "service_tier",
}
FROM_THE_ROUTER = {
    # Ids that it makes itself, of 40 characters at the most, and what billing or the cache gave it.
    "ReserveRequest.reservation_id",
    "AuthorizeRequest.hold_id",
    "CaptureRequest.hold_id",
    "UsageRecord.attempt_id",
    "UsageRecord.completion_id",
    "Caller.organization_id",
    "Caller.user_id",
    "Caller.key_id",
    # A digest.
    "LookupRequest.model",
    # Of the configuration, as the last tests of this file show.
    "Candidate.provider",
    "Candidate.model",
    "UsageRecord.provider",
    "UsageRecord.model",
    # `model:` and a name of the configuration; an answer that the cache refuses is not kept, and costs nothing else.
    "StoreRequest.tags",
    # Not used in this version.
    "SemanticQuery.text",
}


def texts(message: Descriptor) -> Iterator[tuple[str, FieldDescriptor]]:
    """Every text and map of the message and of those in it."""
    for field in message.fields:
        inner = field.message_type
        if field.type == FieldDescriptor.TYPE_STRING or (inner is not None and inner.GetOptions().map_entry):
            yield f"{message.name}.{field.name}", field
        elif inner is not None and inner.file.package.startswith("headgate."):
            yield from texts(inner)


def rules(field: FieldDescriptor) -> validate_pb2.FieldRules:
    found: validate_pb2.FieldRules = field.GetOptions().Extensions[validate_pb2.field]
    return found


def assert_no_narrower(here: validate_pb2.FieldRules, there: validate_pb2.FieldRules) -> None:
    if there.string.HasField("max_len"):
        assert 0 < here.string.max_len <= there.string.max_len
    assert here.string.min_len >= there.string.min_len
    known = {"min_len", "max_len"}
    assert {rule.name for rule, _ in there.string.ListFields()} <= known
    assert not there.cel


def all_told() -> dict[str, FieldDescriptor]:
    return {name: field for message in TOLD for name, field in texts(message)}


def test_every_text_that_peers_are_told_is_from_the_request_or_the_routers_own() -> None:
    assert set(all_told()) == FROM_THE_REQUEST.keys() | FROM_THE_ROUTER


@pytest.mark.parametrize("name", FROM_THE_REQUEST)
def test_a_text_that_the_router_takes_is_taken(name: str) -> None:
    here, there = rules(REQUEST.fields_by_name[FROM_THE_REQUEST[name]]), rules(all_told()[name])
    assert_no_narrower(here, there)
    assert_no_narrower(here.map.keys, there.map.keys)
    assert_no_narrower(here.map.values, there.map.values)
    # Beside the request's, billing adds marks of its own.
    if there.HasField("map"):
        assert here.map.max_pairs + 2 <= there.map.max_pairs


def test_labels_end_user_and_tier_are_under_one_rule() -> None:
    labels = rules(REQUEST.fields_by_name["labels"]).map
    end_user, tier = (rules(REQUEST.fields_by_name[name]) for name in ("end_user_id", "service_tier"))
    assert labels.keys.cel[0] == labels.values.cel[0] == end_user.cel[0] == tier.cel[0]


def config(provider: str, model: str, **declared: str) -> RouterConfig:
    account = {"api": "openai", "base_url": "https://a.example", **declared}
    return RouterConfig.model_validate(
        {"providers": {provider: account}, "targets": {"t": {"provider": provider, "model": model}}}
    )


@pytest.mark.parametrize("message", [RECORD, CANDIDATE], ids=lambda message: message.name)
def test_a_provider_or_model_that_the_configuration_takes_is_taken(message: Descriptor) -> None:
    longest = {name: rules(message.fields_by_name[name]).string.max_len for name in ("provider", "model")}
    provider, model = ("x" * longest[name] for name in ("provider", "model"))
    config(provider, model)
    config(f"{provider}y", model, billed_as=provider)
    for refused in ({"provider": f"{provider}y"}, {"provider": "p", "billed_as": f"{provider}y"}):
        with pytest.raises(ValidationError, match="billed_as: must be at most 128 characters"):
            config(model=model, **refused)
    with pytest.raises(ValidationError, match=r"targets\.t\.model"):
        config(provider, f"{model}y")
