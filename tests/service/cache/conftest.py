"""The whole service, composed as its process composes it, on a free port."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headgate.cache.v1.cache_service_pb2_grpc import CacheServiceStub
from services._runtime.configuration.settings import read_settings, read_shared
from services._runtime.rpc.boundary import Boundary
from services._runtime.rpc.interceptors import GatewayInterceptor
from services._runtime.rpc.server import GrpcServer
from services._runtime.telemetry.telemetry import Telemetry, make_telemetry
from services.cache.__main__ import compose
from services.cache.settings import PREFIX, CacheSettings
from tests.support.grpc_aio import GrpcStart


@asynccontextmanager
async def serving(environ: Mapping[str, str], data_dir: Path, telemetry: Telemetry) -> AsyncIterator[int]:
    """The port of a cache with these variables."""
    settings = read_settings(CacheSettings, PREFIX, {f"{PREFIX}LISTEN": "127.0.0.1:0", **environ})
    shared = read_shared({"HEADGATE_DATA_DIR": str(data_dir), **environ})
    application = await compose(settings, shared, telemetry)
    boundary = Boundary("cache", telemetry, application.authenticate)
    interceptor = GatewayInterceptor(boundary, application.trusted_methods)
    server = GrpcServer(settings, application.services, [interceptor])
    yield await server.start()
    await server.stop()
    for step in application.on_stop:
        await step()


@pytest.fixture(scope="module")
def telemetry() -> Telemetry:
    return make_telemetry("cache")


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """A module's own variables."""
    return {}


@pytest.fixture(scope="module")
def grpc_start(
    environ: dict[str, str], telemetry: Telemetry, tmp_path_factory: pytest.TempPathFactory
) -> GrpcStart:
    return lambda: serving(environ, tmp_path_factory.mktemp("cache"), telemetry)


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[CacheServiceStub]:
    return CacheServiceStub
