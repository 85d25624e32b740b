"""The contracts: fresh stubs, explained in full, implemented or listed in the README as not yet."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2

from envoy.service.ratelimit.v3 import rls_pb2_grpc
from headgate.billing.v1 import account_service_pb2_grpc, billing_service_pb2_grpc
from headgate.cache.v1 import cache_service_pb2_grpc
from headgate.ratelimit.v1 import ratelimit_service_pb2_grpc
from headgate.router.v1 import job_service_pb2_grpc, router_service_pb2_grpc
from scripts import contracts
from services._runtime.errors import GatewayError
from services.billing.account_servicer import AccountServicer
from services.billing.servicer import BillingServicer
from services.cache.servicer import CacheServicer
from services.ratelimit.envoy_servicer import EnvoyRateLimitServicer
from services.ratelimit.servicer import RateLimitServicer
from services.router.servicer import JobServicer, RouterServicer

ROOT = Path(__file__).parents[2]
# What serves each service, and the generated class that answers UNIMPLEMENTED without a reason.
SERVICERS: dict[str, tuple[type, type]] = {
    "headgate.router.v1.RouterService": (RouterServicer, router_service_pb2_grpc.RouterServiceServicer),
    "headgate.router.v1.JobService": (JobServicer, job_service_pb2_grpc.JobServiceServicer),
    "headgate.cache.v1.CacheService": (CacheServicer, cache_service_pb2_grpc.CacheServiceServicer),
    "headgate.ratelimit.v1.RateLimitService": (
        RateLimitServicer,
        ratelimit_service_pb2_grpc.RateLimitServiceServicer,
    ),
    "headgate.billing.v1.BillingService": (BillingServicer, billing_service_pb2_grpc.BillingServiceServicer),
    "headgate.billing.v1.AccountService": (AccountServicer, account_service_pb2_grpc.AccountServiceServicer),
    "envoy.service.ratelimit.v3.RateLimitService": (
        EnvoyRateLimitServicer,
        rls_pb2_grpc.RateLimitServiceServicer,
    ),
}
NOT_YET = "`NOT_IMPLEMENTED`"


@dataclass(frozen=True)
class Element:
    """A message, field, enum value, service … of a contract, and the comment above it."""

    name: str
    comment: str
    descriptor: Any


# The numbers are those of descriptor.proto's own fields: a path into a file alternates field number and index.
_CHILDREN: dict[type, dict[int, str]] = {
    descriptor_pb2.FileDescriptorProto: {4: "message_type", 5: "enum_type", 6: "service"},
    descriptor_pb2.DescriptorProto: {2: "field", 3: "nested_type", 4: "enum_type"},
    descriptor_pb2.EnumDescriptorProto: {2: "value"},
    descriptor_pb2.ServiceDescriptorProto: {2: "method"},
}


@cache
def files() -> list[descriptor_pb2.FileDescriptorProto]:
    """The project's own contract files; validate.proto and Google's belong to others."""
    with TemporaryDirectory() as folder:
        image = Path(folder) / "contracts.binpb"
        contracts.compile_image(image)
        every = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
    return [file for file in every if file.name.startswith(("headgate/", "envoy/"))]


@cache
def elements() -> list[Element]:
    found: list[Element] = []
    for file in files():
        comments = {tuple(at.path): at.leading_comments.strip() for at in file.source_code_info.location}
        found += _inside(file, file.package, (), comments)
    return found


def _inside(parent: Any, name: str, path: tuple[int, ...], comments: dict[Any, str]) -> Iterator[Element]:
    for number, kind in _CHILDREN.get(type(parent), {}).items():
        for index, child in enumerate(getattr(parent, kind)):
            if kind == "nested_type" and child.options.map_entry:
                continue
            there, full_name = (*path, number, index), f"{name}.{child.name}"
            yield Element(full_name, comments.get(there, ""), child)
            yield from _inside(child, full_name, there, comments)


def of_kind(kind: type) -> dict[str, Element]:
    return {e.name: e for e in elements() if isinstance(e.descriptor, kind)}


def rpcs() -> dict[str, Element]:
    """By `package.Service/Rpc`."""
    methods = of_kind(descriptor_pb2.MethodDescriptorProto)
    return {"/".join(name.rsplit(".", 1)): element for name, element in methods.items()}


def request_messages() -> set[str]:
    """Messages of ours that a request is made of, at any depth."""
    messages = of_kind(descriptor_pb2.DescriptorProto)
    waiting = [rpc.descriptor.input_type.lstrip(".") for rpc in rpcs().values()]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in messages and name not in reached:
            reached.add(name)
            waiting += [field.type_name.lstrip(".") for field in messages[name].descriptor.field]
    return {name for name in reached if name.startswith("headgate.")}


def promised_later() -> set[str]:
    """RPCs of which the contract says that they are not implemented, one by one or as a service."""
    services = of_kind(descriptor_pb2.ServiceDescriptorProto)
    return {
        name
        for name, rpc in rpcs().items()
        if NOT_YET in rpc.comment
        or f"Every RPC is UNIMPLEMENTED {NOT_YET}" in services[name.split("/")[0]].comment
    }


def refusal(name: str) -> str:
    """The reason for which an RPC refuses every request, before it looks at anything; empty: it does something."""
    service, _, rpc = name.partition("/")
    kind, _ = SERVICERS[service]
    try:
        answer = getattr(kind, rpc)(object.__new__(kind), None, None)
        if inspect.iscoroutine(answer):
            answer.send(None)
    except GatewayError as error:
        return error.reason
    except (AttributeError, TypeError):
        # It reached for its parts, which this servicer does not have, or into the request.
        return ""
    return ""


def test_the_committed_stubs_are_those_of_the_contracts(tmp_path: Path) -> None:
    assert contracts.stale_stubs(tmp_path / "stubs") == []


@pytest.mark.parametrize(
    ("kind", "at_least"),
    [
        (descriptor_pb2.DescriptorProto, 100),
        (descriptor_pb2.FieldDescriptorProto, 300),
        (descriptor_pb2.EnumDescriptorProto, 10),
        (descriptor_pb2.EnumValueDescriptorProto, 60),
        (descriptor_pb2.ServiceDescriptorProto, 7),
        (descriptor_pb2.MethodDescriptorProto, 50),
    ],
)
def test_everything_is_explained(kind: type, at_least: int) -> None:
    found = of_kind(kind)
    assert len(found) >= at_least
    assert [name for name, element in found.items() if not element.comment] == []


def test_every_field_of_a_request_says_how_it_behaves() -> None:
    messages = of_kind(descriptor_pb2.DescriptorProto)
    silent = [
        f"{name}.{field.name}"
        for name in sorted(request_messages())
        for field in messages[name].descriptor.field
        if not field.options.Extensions[field_behavior_pb2.field_behavior]
    ]
    assert silent == []


def test_every_service_of_the_contracts_is_served() -> None:
    assert set(of_kind(descriptor_pb2.ServiceDescriptorProto)) == set(SERVICERS)


@pytest.mark.parametrize("name", sorted(rpcs()))
def test_no_rpc_is_left_to_the_generated_class(name: str) -> None:
    service, _, rpc = name.partition("/")
    servicer, generated = SERVICERS[service]
    assert getattr(servicer, rpc) is not getattr(generated, rpc)


@pytest.mark.parametrize("name", sorted(rpcs()))
def test_an_rpc_is_refused_as_not_implemented_exactly_when_the_contract_says_so(name: str) -> None:
    assert (refusal(name) == "NOT_IMPLEMENTED") is (name in promised_later())


def test_the_readme_lists_what_is_not_implemented_yet() -> None:
    _, _, rest = (ROOT / "README.md").read_text().partition("\n## Not yet\n")
    listed = re.findall(r"^- `([\w.]+/\w+)`", rest.partition("\n## ")[0], flags=re.MULTILINE)
    assert sorted(listed) == sorted(promised_later())
