"""The settings of grpc's core, ours and those that docs/connections.md gives: it ignores in silence what it does not know."""

import dataclasses
import re
from importlib import import_module
from pathlib import Path

import pytest

from services._runtime.calling.channel import channel_options
from services._runtime.configuration.settings import ProcessSettings
from services._runtime.rpc.server import server_options

SETTINGS = dataclasses.replace(
    ProcessSettings(listen="127.0.0.1:0"), workers=2, max_connection_age_seconds=60.0
)
OTHERS_PING_MS = 5_000
"""The most often that clients are set to in practice; ten seconds is the least that grpc-go allows."""
DOCUMENTED = re.findall(
    r'"(grpc\.[a-z0-9_.]+)"',
    (Path(__file__).parents[4] / "docs" / "connections.md").read_text(encoding="utf-8"),
)
NAMES = sorted({name for name, _ in [*server_options(SETTINGS), *channel_options(1)]} | set(DOCUMENTED))


@pytest.fixture(scope="module")
def core() -> bytes:
    return Path(str(import_module("grpc._cython.cygrpc").__file__)).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_the_core_knows_the_option(core: bytes, name: str) -> None:
    assert name.encode() + b"\0" in core


def test_the_core_does_not_know_a_misspelt_one(core: bytes) -> None:
    assert b"grpc.http2.min_recv_ping_interval_without_data_ms\0" not in core


def test_servers_take_pings_far_more_often_than_clients_send_them() -> None:
    allowed = dict(server_options(SETTINGS))["grpc.http2.min_ping_interval_without_data_ms"]
    sent = dict(channel_options(1))["grpc.keepalive_time_ms"]
    assert isinstance(sent, int)
    assert allowed < OTHERS_PING_MS / 2 < sent
