"""grpcurl and `buf curl`: clients that learn a service's contract from its reflection alone."""

import base64
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
from google.rpc import error_details_pb2

from tests.support.programs import require_binary

_BUF = Path(sys.executable).with_name("buf")
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The status's name, the reason of its ErrorInfo (empty: none), and the messages before it."""

    code: str
    reason: str
    messages: list[Mapping[str, Any]]
    told: str


class ReflectingClient(Protocol):
    """A program without a .proto file. Addresses are `host:port`; a token is sent as `authorization: Bearer`."""

    name: str

    def services(self, address: str) -> set[str]:
        """Full names."""
        ...

    def methods(self, address: str) -> set[str]:
        """`package.Service/Method` of all services."""
        ...

    def command(self, address: str, method: str, request: str, token: str) -> Sequence[str]:
        """What calls the method."""
        ...

    def status(self, errors: str) -> tuple[str, str]:
        """Code and reason, from what a failed call wrote to standard error."""
        ...


class Grpcurl:
    """It tries reflection v1, then v1alpha."""

    name = "grpcurl"

    def __init__(self) -> None:
        self._program = require_binary("grpcurl")

    def run(self, *arguments: str) -> str:
        return printed(self._program, "-plaintext", *arguments)

    def services(self, address: str) -> set[str]:
        return set(self.run(address, "list").split())

    def methods(self, address: str) -> set[str]:
        listed = [self.run(address, "list", service).split() for service in self.services(address)]
        return {"/".join(name.rsplit(".", 1)) for names in listed for name in names}

    def command(self, address: str, method: str, request: str, token: str) -> Sequence[str]:
        bearer = ("-H", f"authorization: Bearer {token}")
        return (self._program, "-plaintext", "-format-error", *bearer, "-d", request, address, method)

    def status(self, errors: str) -> tuple[str, str]:
        status = json.loads(errors)
        code = next(code.name for code in grpc.StatusCode if code.value[0] == status["code"])
        return code, next((each["reason"] for each in status.get("details", []) if "reason" in each), "")


class BufCurl:
    """With one reflection protocol, `grpc-v1` or `grpc-v1alpha`."""

    def __init__(self, reflection: str) -> None:
        self.name = f"buf-{reflection}"
        protocols = ("--protocol", "grpc", "--http2-prior-knowledge", "--reflect-protocol", reflection)
        self._curl = (str(_BUF), "curl", *protocols)

    def services(self, address: str) -> set[str]:
        return set(printed(*self._curl, "--list-services", f"http://{address}").split())

    def methods(self, address: str) -> set[str]:
        return set(printed(*self._curl, "--list-methods", f"http://{address}").split())

    def command(self, address: str, method: str, request: str, token: str) -> Sequence[str]:
        bearer = ("-H", f"authorization: Bearer {token}")
        return (*self._curl, *bearer, "-d", request, f"http://{address}/{method}")

    def status(self, errors: str) -> tuple[str, str]:
        status = json.loads(errors)
        infos = [
            error_details_pb2.ErrorInfo.FromString(base64.b64decode(detail["value"] + "=="))
            for detail in status.get("details", [])
            if detail["type"] == "google.rpc.ErrorInfo"
        ]
        return status["code"].upper(), next((info.reason for info in infos), "")


def call(client: ReflectingClient, address: str, method: str, request: str, token: str) -> Answer:
    command = client.command(address, method, request, token)
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    code, reason = client.status(done.stderr) if done.returncode else ("OK", "")
    return Answer(code, reason, messages_of(done.stdout), done.stderr)


def call_for_one_message(
    client: ReflectingClient, address: str, method: str, request: str, token: str
) -> Answer:
    """Hangs up after the stream's first message."""
    command = client.command(address, method, request, token)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stream:
        assert stream.stdout is not None
        text = ""
        while not text.endswith("}\n") and (line := stream.stdout.readline()):
            text += line
        stream.terminate()
    return Answer("OK", "", messages_of(text), "")


def messages_of(text: str) -> list[Mapping[str, Any]]:
    decoder, messages, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        message, end = decoder.raw_decode(rest)
        messages.append(message)
        rest = rest[end:].lstrip()
    return messages


def printed(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
