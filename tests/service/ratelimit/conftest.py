"""The whole service, composed as its process composes it, on a free port, over each store."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceStub
from services._runtime.configuration.settings import read_settings, read_shared
from services._runtime.rpc.boundary import Boundary
from services._runtime.rpc.interceptors import GatewayInterceptor
from services._runtime.rpc.server import GrpcServer
from services._runtime.telemetry.telemetry import Telemetry, make_telemetry
from services.ratelimit.__main__ import compose
from services.ratelimit.settings import RateLimitSettings
from tests.support.grpc_aio import GrpcStart

PREFIX = "HEADGATE_RATELIMIT_"
DECLARED = """
ratelimit:
  limits:
    - limit_id: file/hourly
      selector: {organization_id: filed}
      metric: requests
      sliding_window: {maximum: 3, window: 1h}
"""


@asynccontextmanager
async def serve_with(environ: Mapping[str, str], telemetry: Telemetry) -> AsyncIterator[int]:
    """The port of a service with these variables."""
    defaults = {f"{PREFIX}LISTEN": "127.0.0.1:0", f"{PREFIX}LAME_DUCK_SECONDS": "0"}
    settings = read_settings(RateLimitSettings, PREFIX, defaults | dict(environ))
    application = await compose(settings, read_shared(environ), telemetry)
    boundary = Boundary("ratelimit", telemetry, application.authenticate)
    interceptor = GatewayInterceptor(boundary, application.trusted_methods)
    server = GrpcServer(settings, application.services, [interceptor])
    yield await server.start()
    await server.stop()
    for step in application.on_stop:
        await step()


@pytest.fixture(scope="module")
def telemetry(environ: dict[str, str]) -> Telemetry:
    """One for each store: two services can't register the same metrics."""
    return make_telemetry("ratelimit")


@pytest.fixture(scope="session")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ratelimit") / "headgate.yaml"
    path.write_text(DECLARED)
    return path


@pytest.fixture(scope="module", params=["memory", "redis"])
def environ(request: pytest.FixtureRequest, config_file: Path) -> dict[str, str]:
    variables = {"HEADGATE_CONFIG": str(config_file), f"{PREFIX}STORE_TIMEOUT_SECONDS": "10"}
    if request.param == "redis":
        redis = request.getfixturevalue("redis_server")
        redis.flush()
        variables[f"{PREFIX}STORE"] = redis.url
    return variables


@pytest.fixture(scope="module")
def grpc_start(environ: dict[str, str], telemetry: Telemetry) -> GrpcStart:
    return lambda: serve_with(environ, telemetry)


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[RateLimitServiceStub]:
    return RateLimitServiceStub
