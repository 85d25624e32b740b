"""One provider's HTTP connections: kept alive, bounded, and closed at once when an answer is no longer wanted."""

import asyncio
import hashlib
import io
import os
import socket
from collections.abc import Awaitable, Mapping
from contextvars import ContextVar

import aiohttp
from aiohttp import hdrs
from yarl import URL

from services._runtime.telemetry.masking import Masking
from services.router.providers.answer import HttpAnswer
from services.router.providers.failures import LARGEST_ERROR_BYTES, from_refusal
from services.router.targets.declaration import Proxy, Timeouts
from services.router.targets.provider import FailureKind, ProviderError

_DNS_TTL_SECONDS = 30
_LARGE_BODY_BYTES = 1024 * 1024
# Of an answer that is not read, twice as much is here at the most, and what one read of the socket brings.
_UNREAD_BYTES = 32 * 1024
_OK = 200
_REDIRECT = range(300, 400)
# Filled when a connection is opened for the request of this context. A list, as it may be opened in a task of its own.
_opened_for_this: ContextVar[list[bool]] = ContextVar("opened_for_this")


class Pool:
    """The session is opened by the first request, as it belongs to the event loop that runs then."""

    def __init__(
        self,
        name: str,
        base_url: str,
        headers: Mapping[str, str],
        masking: Masking,
        timeouts: Timeouts,
        *,
        provider: str,
        max_connections: int,
        keep_alive_seconds: float,
        proxy: Proxy | None = None,
    ) -> None:
        self._name = name
        self.provider = provider
        """By the name that callers and prices know."""
        self._base = base_url.rstrip("/")
        # Compression would cost more CPU on both sides than the bytes that it saves inside a region.
        self._headers = {
            **headers,
            hdrs.CONTENT_TYPE: "application/json",
            hdrs.ACCEPT_ENCODING: "identity",
            hdrs.USER_AGENT: "headgate",
            hdrs.ACCEPT: "*/*",
        }
        self.masking = masking
        self.timeouts = timeouts
        self._max_connections = max_connections
        self._keep_alive_seconds = keep_alive_seconds
        self._proxy = proxy
        # With TLS the proxy reads only what asks for a tunnel, and the provider only what comes out of it.
        login, is_tunnelled = _login(proxy), self._base.startswith("https:")
        self._tunnel_headers = (login or None) if is_tunnelled else None
        if not is_tunnelled:
            self._headers |= login
        self._session: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    def url(self, path: str) -> URL:
        return URL(f"{self._base}/{path}")

    def root_url(self, path: str) -> URL:
        """Beside the API's version."""
        return URL(f"{self._base.removesuffix('/v1')}/{path}")

    async def post(self, url: URL, body: bytes, request_id: str, answer_within: float) -> HttpAnswer:
        """The answer, its headers read and its status 200.

        :raises ProviderError: no connection, no headers within `answer_within` seconds, or another status
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + answer_within
        headers = self._headers | ids_of(request_id) if request_id else self._headers
        try:
            async with asyncio.timeout_at(deadline):
                opened: list[bool] = []
                _opened_for_this.set(opened)
                try:
                    response = await self._send(self._opened(), url, body, headers)
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError) as error:
                    if opened or _has_answered(error):
                        raise
                    response = await self._send_anew(url, body, headers)
                if response.status != _OK:
                    raise await self._refusal(response)
        except aiohttp.ConnectionTimeoutError:
            seconds = self.timeouts.connect
            raise ProviderError(
                FailureKind.TIMEOUT, f"no connection to {self._name} within {seconds:g} s"
            ) from None
        except TimeoutError:
            message = f"no answer from {self._name} within {answer_within:g} s"
            raise ProviderError(FailureKind.TIMEOUT, message) from None
        except (aiohttp.ClientError, OSError) as error:
            message = f"no answer from {self._name}: {_reason(error)}"
            raise ProviderError(FailureKind.CONNECT, message) from error
        return HttpAnswer(response, loop, deadline)

    async def _send_anew(self, url: URL, body: bytes, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """A server may close a connection that it kept just when a request comes: then, unanswered, it is sent once more, on a
        connection of its own. One that a new connection brought is not, as the server may have failed by it.
        """
        if self._fresh is None:
            self._fresh = self._open(force_close=True)
        return await self._send(self._fresh, url, body, headers)

    def _send(
        self, session: aiohttp.ClientSession, url: URL, body: bytes, headers: Mapping[str, str]
    ) -> Awaitable[aiohttp.ClientResponse]:
        return session.post(
            url,
            data=_sendable(body),
            headers=headers,
            allow_redirects=False,
            proxy_headers=self._tunnel_headers,
        )

    async def warm_up(self, path: str) -> None:
        try:
            async with asyncio.timeout(self.timeouts.connect):
                async with self._opened().get(
                    self.url(path),
                    headers=self._headers,
                    allow_redirects=False,
                    proxy_headers=self._tunnel_headers,
                ) as response:
                    await response.read()
        except (aiohttp.ClientError, OSError):
            return

    async def close(self) -> None:
        for session in (self._session, self._fresh):
            if session is not None:
                await session.close()
        self._session = self._fresh = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._open()
        return self._session

    def _open(self, *, force_close: bool = False) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._max_connections,
            limit_per_host=self._max_connections,
            keepalive_timeout=None if force_close else self._keep_alive_seconds,
            force_close=force_close,
            ttl_dns_cache=_DNS_TTL_SECONDS,
            socket_factory=_new_socket,
        )
        connect = self.timeouts.connect
        return aiohttp.ClientSession(
            # No headers: a session's own, with the key, are sent to the proxy as well when it is asked for a tunnel.
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect),
            trust_env=False,
            read_bufsize=_UNREAD_BYTES,
            proxy=None if self._proxy is None else self._proxy.url,
        )

    async def _refusal(self, response: aiohttp.ClientResponse) -> ProviderError:
        try:
            body = await _bounded(response.content)
        except aiohttp.ClientError:
            body = b""
        finally:
            # With its body read the connection is back in the pool already; otherwise this closes it.
            response.close()
        if response.status in _REDIRECT:
            message = f"HTTP {response.status}: a redirect, which is not followed; base_url must be the address itself"
            return ProviderError(FailureKind.MALFORMED, message, http_status=response.status)
        return from_refusal(response.status, response.headers, body)


def ids_of(request_id: str) -> dict[str, str]:
    """As OpenAI's API takes a client's own id; and as a UUID, for servers that take nothing else as the id of a request."""
    digest = hashlib.blake2b(request_id.encode(), digest_size=16).hexdigest()
    as_uuid = f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:]}"
    return {"x-client-request-id": request_id, "x-request-id": as_uuid}


def _new_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    if (opened := _opened_for_this.get(None)) is not None:
        opened.append(True)
    return made


def _has_answered(error: Exception) -> bool:
    """Whether some of an answer came before the end."""
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


def _login(proxy: Proxy | None) -> dict[str, str]:
    if proxy is None or proxy.login is None:
        return {}
    user, _, password = proxy.login.reveal().partition(":")
    return {hdrs.PROXY_AUTHORIZATION: aiohttp.encode_basic_auth(user, password)}


def _sendable(body: bytes) -> bytes | io.BytesIO:
    # What is large is written in parts, between which other requests have their turn.
    return body if len(body) <= _LARGE_BODY_BYTES else io.BytesIO(body)


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = b""
    while len(body) < LARGEST_ERROR_BYTES and (part := await content.readany()):
        body += part
    return body[:LARGEST_ERROR_BYTES]


def _reason(error: Exception) -> str:
    """What went wrong with the connection, without the address: callers see the message."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name could not be resolved"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"its proxy answered with HTTP {error.status}"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number and number > 0 else type(error).__name__
