"""The health check that containers run."""

import asyncio
import socket
from typing import Any

import pytest

from services._runtime.process.probe import main
from tests.service._runtime.echo import NAME


async def probe(*arguments: str) -> int:
    return await asyncio.to_thread(main, list(arguments))


async def test_a_server_that_serves_is_healthy(echo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert await probe(echo.address) == 0
    assert await probe(echo.address, NAME) == 0
    assert capsys.readouterr().out == "SERVING\nSERVING\n"


async def test_a_server_that_drains_is_not(echo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    await echo.server._health.enter_graceful_shutdown()
    assert await probe(echo.address, NAME) == 1
    assert capsys.readouterr().out == "NOT_SERVING\n"


async def test_an_unknown_service_is_not(echo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert await probe(echo.address, "echo.v1.Nothing") == 1
    assert "NOT_FOUND" in capsys.readouterr().out


async def test_a_port_where_nobody_listens_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert await probe(f"127.0.0.1:{bound.getsockname()[1]}") == 1
    assert "UNAVAILABLE" in capsys.readouterr().out


async def test_a_wrong_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert await probe() == 2
    assert "usage" in capsys.readouterr().out
