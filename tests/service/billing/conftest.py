"""The whole service, composed as its process composes it, on a free port."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from headgate.billing.v1.account_service_pb2_grpc import AccountServiceStub
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from services._runtime.configuration.settings import read_settings, read_shared
from services._runtime.rpc.boundary import Boundary
from services._runtime.rpc.interceptors import GatewayInterceptor
from services._runtime.rpc.server import GrpcServer
from services._runtime.telemetry.telemetry import Telemetry, make_telemetry
from services.billing.__main__ import compose
from services.billing.settings import BillingSettings
from tests.support.grpc_aio import GrpcStart


@asynccontextmanager
async def serving(environ: Mapping[str, str], data_dir: Path, telemetry: Telemetry) -> AsyncIterator[int]:
    """The port of a billing service with these variables."""
    listen = {"HEADGATE_BILLING_LISTEN": "127.0.0.1:0"}
    settings = read_settings(BillingSettings, "HEADGATE_BILLING_", {**listen, **environ})
    shared = read_shared({"HEADGATE_DATA_DIR": str(data_dir)})
    application = await compose(settings, shared, telemetry)
    boundary = Boundary("billing", telemetry, application.authenticate)
    interceptor = GatewayInterceptor(boundary, application.trusted_methods)
    server = GrpcServer(settings, application.services, [interceptor])
    yield await server.start()
    await server.stop()
    for step in application.on_stop:
        await step()


@pytest.fixture(scope="module")
def telemetry(environ: dict[str, str]) -> Telemetry:
    return make_telemetry("billing")


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """A module's own variables."""
    return {}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("billing")


@pytest.fixture(scope="module")
def grpc_start(environ: dict[str, str], telemetry: Telemetry, data_dir: Path) -> GrpcStart:
    return lambda: serving(environ, data_dir, telemetry)


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[BillingServiceStub]:
    return BillingServiceStub


@pytest.fixture(scope="module")
def accounts(grpc_channel: grpc.Channel) -> AccountServiceStub:
    return AccountServiceStub(grpc_channel)
