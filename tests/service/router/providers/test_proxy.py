"""A provider is reached through the proxy that its configuration names, and through no other."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.router.targets.provider import FailureKind
from tests.service.router.providers.asking import answer, ask
from tests.service.router.providers.conftest import Build
from tests.support.stranger import stranger


class ForwardingProxy:
    """Passes on requests in absolute form, one per connection; it knows one login, if it has any."""

    def __init__(self, login: bytes = b"") -> None:
        self.heads: list[bytes] = []
        self._expected = b"proxy-authorization: basic " + b64encode(login).lower() if login else b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if self._expected not in head.lower():
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        method, url, version = head.split(b"\r\n", 1)[0].split(b" ")
        host, _, path = url.removeprefix(b"http://").partition(b"/")
        address, _, port = host.decode().partition(":")
        upstream_reader, upstream = await asyncio.open_connection(address, int(port))
        upstream.write(b" ".join((method, b"/" + path, version)) + b"\r\n" + head.split(b"\r\n", 1)[1])
        await asyncio.gather(_pipe(reader, upstream), _pipe(upstream_reader, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        return
    finally:
        writer.close()


@pytest.fixture
def login() -> bytes:
    return b""


@pytest.fixture
async def proxy(login: bytes) -> AsyncIterator[tuple[ForwardingProxy, str]]:
    proxy = ForwardingProxy(login)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        yield proxy, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_provider_is_asked_through_the_proxy_that_is_named(
    built: Build, simulator_url: str, api: str, proxy: tuple[ForwardingProxy, str]
) -> None:
    through, url = proxy
    provider = built(api, f"{simulator_url}/v1", proxy=url)
    assert (await answer(ask(provider))).failure is None
    assert through.heads[0].startswith(f"POST {simulator_url}/v1/".encode())


@pytest.mark.parametrize("login", [b"ann:secret:with a colon"])
async def test_the_proxy_is_told_the_login_that_is_named(
    built: Build, simulator_url: str, proxy: tuple[ForwardingProxy, str], tmp_path: Path, login: bytes
) -> None:
    _, url = proxy
    kept = tmp_path / "login"
    kept.write_bytes(login)
    provider = built("openai", f"{simulator_url}/v1", proxy=url, proxy_login={"file": kept})
    assert (await answer(ask(provider))).failure is None
    stranger_to_it = built("openai", f"{simulator_url}/v1", proxy=url)
    failure = (await answer(ask(stranger_to_it))).failure
    assert failure is not None
    assert "407" in str(failure)


async def test_a_tunnel_is_asked_for_with_the_login_and_without_the_api_key(
    built: Build, api: str, tmp_path: Path
) -> None:
    heads: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    kept = tmp_path / "login"
    kept.write_bytes(b"ann:secret")
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        provider = built(api, "https://provider.example", proxy=url, proxy_login={"file": kept})
        assert (await answer(ask(provider))).failure is not None
    (head,) = heads
    assert head.startswith(b"CONNECT provider.example:443 ")
    assert b"basic " + b64encode(b"ann:secret").lower() in head.lower()
    assert b"sim-key" not in head


async def test_a_proxy_that_lets_nobody_through_is_told_from_a_provider_that_does_not_answer(
    built: Build,
) -> None:
    closed = ForwardingProxy(b"nobody:knows")
    server = await asyncio.start_server(closed.serve, "127.0.0.1", 0)
    async with server:
        at = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        failure = (await answer(ask(built("openai", "https://127.0.0.1:1", proxy=at)))).failure
    assert failure is not None
    assert failure.kind is FailureKind.CONNECT
    assert "its proxy answered with HTTP 407" in str(failure)
    assert b"sim-key" not in b"".join(closed.heads)


async def test_the_environments_proxies_are_not_asked(
    built: Build, simulator_url: str, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stranger() as proxy:
        for name, value in proxy.environ.items():
            monkeypatch.setenv(name, value)
        assert (await answer(ask(built(api, f"{simulator_url}/v1")))).failure is None
        assert (proxy.connections, bytes(proxy.received)) == (0, b"")
