"""grpcui without a browser: the page that it makes of a server's reflection, and the calls that the page makes."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any, Self
from urllib.parse import urlencode

from tests.support.programs import require_binary

_SECONDS = 60
_TOKEN = "_grpcui_csrf_token"


class Grpcui:
    """`page` is what a browser is shown first."""

    def __init__(self, address: str) -> None:
        self._address = address
        with closing(HTTPConnection(address, timeout=_SECONDS)) as connection:
            connection.request("GET", "/")
            response = connection.getresponse()
            self.page = response.read().decode()
            self._cookie = response.headers["Set-Cookie"].partition(";")[0]

    @classmethod
    @contextmanager
    def showing(cls, server: str) -> Iterator[Self]:
        options = ("-plaintext", "-open-browser=false", "-bind", "127.0.0.1", "-port", "0")
        command = (require_binary("grpcui"), *options, "-connect-timeout", str(_SECONDS), server)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            try:
                told = process.stdout.readline()
                _, is_there, address = told.strip().rpartition(" available at http://")
                assert is_there, told + process.stdout.read()
                yield cls(address.rstrip("/"))
            finally:
                process.terminate()

    def form(self, method: str) -> Mapping[str, Any]:
        """Of what the form of a method consists: `requestType`, and its messages and enums by name."""
        return self._answer("GET", f"/metadata?{urlencode({'method': method})}")

    def invoke(self, method: str, request: Mapping[str, Any], token: str) -> Mapping[str, Any]:
        """`responses`, and an `error` that is None where the call ended well."""
        bearer = {"name": "authorization", "value": f"Bearer {token}"}
        return self._answer(
            "POST", f"/invoke/{method}", json.dumps({"metadata": [bearer], "data": [request]})
        )

    def _answer(self, verb: str, path: str, body: str | None = None) -> Mapping[str, Any]:
        headers = {
            "Cookie": self._cookie,
            "x-grpcui-csrf-token": self._cookie.removeprefix(f"{_TOKEN}="),
            "Content-Type": "application/json",
        }
        with closing(HTTPConnection(self._address, timeout=_SECONDS)) as connection:
            connection.request(verb, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
        assert response.status == 200, text
        answer: Mapping[str, Any] = json.loads(text)
        return answer
