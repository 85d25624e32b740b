"""What every server has: health, reflection under both names, TLS and a safe address; channelz when it is asked for."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services._runtime.calling.channel import open_channel
from services._runtime.configuration.settings import ProcessSettings
from services._runtime.rpc.server import GrpcServer, StartError
from tests.service._runtime.conftest import Served
from tests.service._runtime.echo import NAME, request

grpcurl_is_here = pytest.mark.skipif(shutil.which("grpcurl") is None, reason="grpcurl is not installed")


async def grpcurl(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "grpcurl", "-plaintext", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_health_answers_for_the_server_and_for_each_service_by_name(echo: Served) -> None:
    stub = health_pb2_grpc.HealthStub(echo.channel)
    for name in ("", NAME):
        response = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert response.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Check(health_pb2.HealthCheckRequest(service="headgate.nonexistent"))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_of_health_is_told_when_the_server_stops(serve: Callable[..., Any]) -> None:
    served = await serve(lame_duck_seconds=1.0)
    watch = health_pb2_grpc.HealthStub(served.channel).Watch(health_pb2.HealthCheckRequest(service=NAME))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    stopping = asyncio.create_task(served.server.stop())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await served.unary()(request("still served"))).text == "still served"
    await stopping


async def test_a_call_in_flight_ends_well_when_the_server_stops(serve: Callable[..., Any]) -> None:
    served = await serve(drain_seconds=20.0)
    call = served.unary()(request("late", mode="wait"))
    await served.servicer.entered.wait()
    stopping = asyncio.create_task(served.server.stop())
    await asyncio.sleep(0)
    served.servicer.release.set()
    assert (await call).text == "late"
    await stopping


@grpcurl_is_here
async def test_grpcurl_lists_describes_and_calls_without_a_proto_file(echo: Served) -> None:
    code, listed = await grpcurl(echo.address, "list")
    assert (code, set(listed.split())) == (
        0,
        {
            NAME,
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        },
    )
    for service in listed.split():
        code, described = await grpcurl(echo.address, "describe", service)
        assert (code, "rpc " in described) == (0, True), described
    code, described = await grpcurl(echo.address, "describe", "headgate.test.v1.Part")
    assert "buf.validate.field" in described
    assert "google.api.field_behavior" in described
    code, answer = await grpcurl("-d", '{"parts": [{"text": "hi"}]}', echo.address, f"{NAME}/Echo")
    assert (code, json.loads(answer)) == (0, {"text": "hi"})


@grpcurl_is_here
async def test_grpcurl_shows_an_errors_details(echo: Served) -> None:
    _, answer = await grpcurl("-d", '{"parts": [{}]}', echo.address, f"{NAME}/Echo")
    assert "Code: InvalidArgument" in answer
    assert "google.rpc.BadRequest" in answer
    assert "parts[0].text" in answer


@grpcurl_is_here
async def test_channelz_is_not_served_unless_it_is_asked_for(echo: Served) -> None:
    get_servers: Any = echo.channel.unary_unary("/grpc.channelz.v1.Channelz/GetServers")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await get_servers(b"")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


@grpcurl_is_here
async def test_channelz_counts_the_servers_calls(serve: Callable[..., Any]) -> None:
    echo = await serve(channelz=True)
    await echo.unary()(request("hi"))
    code, answer = await grpcurl(echo.address, "grpc.channelz.v1.Channelz/GetServers")
    assert code == 0
    assert sum(int(server["data"]["callsSucceeded"]) for server in json.loads(answer)["server"]) >= 1


@pytest.mark.skipif(not Path(".venv/bin/buf").exists(), reason="buf is not installed")
async def test_buf_curl_lists_and_calls_with_the_v1_reflection(echo: Served) -> None:
    async def buf_curl(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            ".venv/bin/buf",
            *("curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return (await process.communicate())[0].decode()

    assert NAME in await buf_curl("--list-services", f"http://{echo.address}")
    answer = await buf_curl("-d", '{"parts": [{"text": "hi"}]}', f"http://{echo.address}/{NAME}/Echo")
    assert json.loads(answer) == {"text": "hi"}


@grpcurl_is_here
async def test_reflection_can_be_turned_off(serve: Callable[..., Any]) -> None:
    served = await serve(reflection=False)
    code, answer = await grpcurl(served.address, "list")
    assert code != 0
    assert "does not support the reflection API" in answer


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "example.org:0"])
async def test_an_address_open_to_others_needs_tls_or_an_explicit_setting(listen: str) -> None:
    with pytest.raises(StartError, match="HEADGATE_ECHO_ALLOW_INSECURE_LISTEN=true"):
        await GrpcServer(ProcessSettings(listen=listen), [], prefix="HEADGATE_ECHO_").start()


async def test_the_explicit_setting_opens_it() -> None:
    server = GrpcServer(
        ProcessSettings(listen="0.0.0.0:0", allow_insecure_listen=True, lame_duck_seconds=0), []
    )
    assert await server.start() > 0
    await server.stop()


async def test_a_port_that_is_taken_is_told_by_its_setting(echo: Served) -> None:
    with pytest.raises(StartError, match=f"LISTEN={echo.address} can't be bound"):
        await GrpcServer(ProcessSettings(listen=echo.address), []).start()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_tls_serves_with_the_certificate_and_asks_for_the_clients(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    key, cert = await self_signed(tmp_path)
    served = await serve(tls_cert_file=cert, tls_key_file=key, tls_client_ca_file=cert)
    address = served.address.replace("127.0.0.1", "localhost")
    assert (
        await health_over(open_channel(address, tls_ca_file=cert, tls_cert_file=cert, tls_key_file=key))
        is None
    )
    assert await health_over(open_channel(address, tls_ca_file=cert)) is grpc.StatusCode.UNAVAILABLE
    assert await health_over(open_channel(address)) is grpc.StatusCode.UNAVAILABLE


async def health_over(channel: grpc.aio.Channel) -> grpc.StatusCode | None:
    async with channel:
        try:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return None


async def self_signed(folder: Path) -> tuple[Path, Path]:
    key, cert = folder / "key.pem", folder / "cert.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    arguments = [*options.split(), "-addext", "subjectAltName=DNS:localhost"]
    process = await asyncio.create_subprocess_exec(
        "openssl", *arguments, "-keyout", str(key), "-out", str(cert), stderr=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    return key, cert


async def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="together or not at all"):
        await GrpcServer(ProcessSettings(tls_cert_file=tmp_path / "cert.pem"), []).start()
