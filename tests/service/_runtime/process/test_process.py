"""Whole processes: started, announced, drained by SIGTERM, several on one port."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.service._runtime.echo import CODECS, NAME, request

ROOT = Path(__file__).resolve().parents[4]


class EchoProcess:
    """`python -m tests.service._runtime.echo` and the log lines that it has written."""

    def __init__(self, process: asyncio.subprocess.Process, port_file: Path) -> None:
        self.process = process
        self.port_file = port_file
        self.lines: list[dict[str, Any]] = []

    async def logged(self, event: str) -> dict[str, Any]:
        """The next log line of this event."""
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            async for line in self.process.stdout:
                self.lines.append(json.loads(line))
                if self.lines[-1]["event"] == event:
                    return self.lines[-1]
        raise AssertionError(f"{event!r} is not among {self.lines}")

    async def end(self) -> int:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            rest = await self.process.stdout.read()
            self.lines += [json.loads(line) for line in rest.splitlines()]
            return await self.process.wait()

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


Start = Callable[..., Awaitable[EchoProcess]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[asyncio.subprocess.Process] = []

    async def launch(*, shared: dict[str, str] | None = None, **settings: str) -> EchoProcess:
        port_file = tmp_path / "port"
        variables = {"PORT_FILE": str(port_file), "LAME_DUCK_SECONDS": "0", "METRICS_LISTEN": "127.0.0.1:0"}
        environ = {f"HEADGATE_ECHO_{name}": value for name, value in (variables | settings).items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.service._runtime.echo"),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/gen/python", **environ, **(shared or {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        started.append(process)
        return EchoProcess(process, port_file)

    yield launch
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


def echo_stub(channel: grpc.aio.Channel, method: str = "Echo") -> Any:
    return channel.unary_unary(f"/{NAME}/{method}", **CODECS)


async def get(address: str, target: str) -> str:
    reader, writer = await asyncio.open_connection(*address.split(":"))
    writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    return text


async def test_a_process_tells_where_it_listens_in_its_log_and_its_port_file(start: Start) -> None:
    echo = await start()
    line = await echo.logged("listening")
    assert echo.port_file.read_text().strip() == line["address"]
    assert (line["service"], line["workers"], line["tls"]) == ("echo", 1, False)
    async with grpc.aio.insecure_channel(line["address"]) as channel:
        assert (await echo_stub(channel)(request("hi"))).text == "hi"
    metrics = await get(line["metrics_address"], "/metrics")
    assert 'headgate_rpc_requests_total{code="OK",rpc="headgate.test.v1.EchoService/Echo"} 1.0' in metrics
    assert (await get(line["metrics_address"], "/")).startswith("HTTP/1.1 404")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_running_calls_end_then_flushes_then_exits_0(
    start: Start, number: signal.Signals
) -> None:
    echo = await start()
    address = (await echo.logged("listening"))["address"]
    async with grpc.aio.insecure_channel(address) as channel:
        chat: Any = channel.stream_stream(f"/{NAME}/Chat", **CODECS)()
        await chat.write(request("before"))
        assert (await chat.read()).text == "before"
        echo.process.send_signal(number)
        await echo.logged("draining")
        await chat.write(request("after"))
        assert (await chat.read()).text == "after"
        await chat.done_writing()
        assert await chat.read() is grpc.aio.EOF
    assert await echo.end() == 0
    assert echo.events[-2:] == ["flushed", "stopped"]


async def test_a_call_that_outlasts_the_drain_is_cut(start: Start) -> None:
    echo = await start(DRAIN_SECONDS="0.2")
    address = (await echo.logged("listening"))["address"]
    async with grpc.aio.insecure_channel(address) as channel:
        chat: Any = channel.stream_stream(f"/{NAME}/Chat", **CODECS)()
        await chat.write(request("before"))
        await chat.read()
        echo.process.terminate()
        with pytest.raises(grpc.aio.AioRpcError):
            await chat.read()
    assert await echo.end() == 0
    assert "flushed" in echo.events


async def test_a_second_signal_ends_the_process_at_once(start: Start) -> None:
    echo = await start(LAME_DUCK_SECONDS="60")
    await echo.logged("listening")
    echo.process.terminate()
    await echo.logged("draining")
    echo.process.terminate()
    assert await echo.end() == 128 + signal.SIGTERM
    assert "flushed" not in echo.events


async def test_two_workers_share_a_port_and_their_metrics_add_up(start: Start) -> None:
    echo = await start(WORKERS="2", STORE="shared")
    line = await echo.logged("listening")
    assert line["workers"] == 2
    # The kernel spreads connections, not calls: with twenty of them, one worker would get all in one of 2^19 runs.
    for _ in range(20):
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(line["address"], options) as channel:
            assert (await echo_stub(channel)(request("hi"))).text == "hi"
    metrics = await get(line["metrics_address"], "/metrics")
    assert 'headgate_rpc_requests_total{code="OK",rpc="headgate.test.v1.EchoService/Echo"} 20.0' in metrics
    assert 'headgate_rpc_in_flight{rpc="headgate.test.v1.EchoService/Echo",worker="0"} 0.0' in metrics
    assert 'headgate_rpc_in_flight{rpc="headgate.test.v1.EchoService/Echo",worker="1"} 0.0' in metrics
    echo.process.terminate()
    assert await echo.end() == 0
    assert echo.events.count("flushed") == 2


async def test_when_one_worker_dies_the_others_end_in_order_and_the_exit_says_so(start: Start) -> None:
    echo = await start(WORKERS="2", STORE="shared")
    workers = (await echo.logged("listening"))["pids"]
    assert len(set(workers) - {echo.process.pid}) == 2
    os.kill(workers[0], signal.SIGKILL)
    assert await echo.end() != 0
    assert echo.events.count("flushed") == 1
    assert echo.events[-1] == "a worker ended by itself"


async def test_workers_end_when_their_parent_is_killed(start: Start) -> None:
    echo = await start(WORKERS="2", STORE="shared")
    address = (await echo.logged("listening"))["address"]
    echo.process.kill()
    # The log's pipe closes only when the last of the processes has gone.
    await echo.end()
    assert echo.events.count("flushed") == 2
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"WORKERS": "2"},
            "HEADGATE_ECHO_STORE=memory keeps its state in one process: set HEADGATE_ECHO_WORKERS=1",
        ),
        ({"LISTN": "x"}, "HEADGATE_ECHO_LISTN is not a setting; did you mean HEADGATE_ECHO_LISTEN?"),
        ({"LISTEN": "0.0.0.0:0"}, "HEADGATE_ECHO_LISTEN=0.0.0.0:0 is open to other machines without TLS"),
        ({"LISTEN": "nonsense"}, "HEADGATE_ECHO_LISTEN: 'nonsense' is not host:port"),
        ({"METRICS_LISTEN": "nonsense"}, "HEADGATE_ECHO_METRICS_LISTEN: 'nonsense' is not host:port"),
        ({"METRICS_LISTEN": "[::]:0"}, "HEADGATE_ECHO_METRICS_LISTEN=[::]:0 is open to other machines"),
    ],
)
async def test_what_cannot_be_is_refused_at_start_by_the_settings_name(
    start: Start, settings: dict[str, str], says: str
) -> None:
    echo = await start(**settings)
    assert await echo.end() == 2
    assert echo.lines[-1]["problem"].startswith(says)


async def test_the_internal_token_of_the_installation_is_asked_for(start: Start, tmp_path: Path) -> None:
    secret, token = "shared-secret-of-32-characters-or-more", tmp_path / "token"
    token.write_text(f"{secret}\n")
    echo = await start(shared={"HEADGATE_INTERNAL_TOKEN_FILE": str(token)})
    address = (await echo.logged("listening"))["address"]
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await echo_stub(channel)(request("hi"))
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        metadata = (("authorization", f"Bearer {secret}"),)
        assert (await echo_stub(channel)(request("hi"), metadata=metadata)).text == "hi"
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
