"""Every field of the contracts and of the configuration that promises an effect."""

import dataclasses
import inspect
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from pydantic import BaseModel

from headgate.billing.v1 import account_service_pb2, billing_service_pb2
from headgate.cache.v1 import cache_service_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2
from headgate.router.v1 import job_service_pb2, router_service_pb2
from services._runtime.configuration.settings import ProcessSettings, SharedSettings
from services._runtime.process.serving import prefix_of
from services.billing import config as billing_config
from services.billing.settings import BillingSettings
from services.cache.settings import CacheSettings
from services.ratelimit import config as ratelimit_config
from services.ratelimit.settings import RateLimitSettings
from services.router.settings import RouterSettings
from services.router.targets import config as router_config

_FILES: tuple[FileDescriptor, ...] = tuple(
    module.DESCRIPTOR
    for module in (
        account_service_pb2,
        billing_service_pb2,
        cache_service_pb2,
        job_service_pb2,
        ratelimit_service_pb2,
        router_service_pb2,
    )
)
_SETTINGS = {
    "router": RouterSettings,
    "cache": CacheSettings,
    "billing": BillingSettings,
    "ratelimit": RateLimitSettings,
}
_CONFIGS = (router_config, ratelimit_config, billing_config)


def _methods() -> Iterator[tuple[Descriptor, Descriptor]]:
    for file in _FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                yield method.input_type, method.output_type


def _below(message: Descriptor, seen: dict[str, Descriptor], without: str = "") -> None:
    if message.full_name in (*seen, without) or not message.full_name.startswith("headgate."):
        return
    seen[message.full_name] = message
    for field in message.fields:
        if field.message_type is not None:
            _below(field.message_type, seen, without)


def _fields(messages: dict[str, Descriptor]) -> set[str]:
    """`billing.v1.Budget.limit_nanos`; what only holds other messages, or is a pair of a map, promises nothing by itself."""
    return {
        field.full_name.removeprefix("headgate.")
        for message in messages.values()
        if not message.GetOptions().map_entry
        for field in message.fields
        if not _is_holder(field)
    }


def _is_holder(field: FieldDescriptor) -> bool:
    inner = field.message_type
    return (
        inner is not None
        and inner.full_name.startswith("headgate.")
        and not inner.GetOptions().map_entry
        and bool(inner.fields)
    )


def fields_of_requests() -> set[str]:
    seen: dict[str, Descriptor] = {}
    for request, _ in _methods():
        _below(request, seen)
    return _fields(seen)


def fields_of_answers() -> set[str]:
    """Without jobs, which repeat their request."""
    seen: dict[str, Descriptor] = {}
    for _, answer in _methods():
        _below(answer, seen, without="headgate.router.v1.Job")
    return _fields(seen)


def settings() -> set[str]:
    """`HEADGATE_ROUTER_LINGER_SECONDS`; of those that each service has, one name: `HEADGATE_*_LISTEN`."""
    shared = {field.name for field in dataclasses.fields(ProcessSettings)}
    names = {f"HEADGATE_*_{name.upper()}" for name in shared}
    names |= {f"HEADGATE_{field.name.upper()}" for field in dataclasses.fields(SharedSettings)}
    for service, kind in _SETTINGS.items():
        own = {field.name for field in dataclasses.fields(kind)} - shared
        names |= {f"{prefix_of(service)}{name.upper()}" for name in own}
    return names


def fields_of_files() -> set[str]:
    """`ProviderConfig.base_url`: the sections of the configuration file."""
    return {
        f"{name}.{field}"
        for module in _CONFIGS
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and issubclass(kind, BaseModel)
        for field in kind.model_fields
    }
