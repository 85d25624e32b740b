"""With a stranger's proxy in every variable of the environment, nothing of an installation passes through it."""

import signal
import sys
from pathlib import Path
from subprocess import run

import pytest

from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub
from services._runtime.direct import open_cleartext_aio
from services._runtime.process.probe import main as probe
from tests.support.accounting import ask, router_section
from tests.support.in_process import in_process
from tests.support.router_process import router_process
from tests.support.stranger import Stranger, stranger
from tests.support.suite import StartSuite, clean_environment

pytestmark = pytest.mark.timeout(180)
# Nothing listens there: who asks for it by way of a proxy is heard all the same.
_COLLECTOR = "http://127.0.0.1:1"


def test_a_stranger_would_hear_of_a_channel_that_asks_the_environment() -> None:
    """Without this the others would show nothing."""
    with stranger() as proxy:
        asked = (
            "import grpc; grpc.channel_ready_future(grpc.insecure_channel('127.0.0.1:1')).result(timeout=3)"
        )
        run([sys.executable, "-c", asked], env=clean_environment(proxy.environ), check=False, timeout=60)
        assert b"CONNECT 127.0.0.1:1" in proxy.received


def test_a_whole_installation_sends_no_byte_through_the_environments_proxies(start_suite: StartSuite) -> None:
    with (
        stranger() as proxy,
        # Spans would be exported to a collector, which is another way out.
        start_suite(environ={**proxy.environ, **_traced()}) as suite,
    ):
        for command in (
            ("complete", "Why is the sky blue?"),
            ("usage",),
            ("usage", "--mine", "user"),
            ("limits",),
            ("keys", "create", "--user", "ann"),
            ("targets",),
            ("whoami",),
        ):
            done = suite.headgate(*command, environ=proxy.environ)
            assert done.returncode == 0, done.stderr
        assert _probed(suite.addresses.grpc["billing"], proxy)
        assert suite.served()
        assert suite.stop() == 0
        assert (proxy.connections, bytes(proxy.received)) == (0, b"")


async def test_neither_does_a_router_whose_own_environment_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`headgate up` hands no such variable on; an operator's shell does."""
    section = router_section({"m": ["sim-small@tokens=4"]})
    with stranger() as proxy:
        for name, value in proxy.environ.items():
            monkeypatch.setenv(name, value)
        async with in_process(tmp_path, section) as suite:
            await suite.router.Complete(ask("m"), metadata=suite.metadata)
            async with (
                router_process(
                    suite, tmp_path / "own", {"HEADGATE_ROUTER_OTLP_ENDPOINT": _COLLECTOR}
                ) as process,
                open_cleartext_aio(process.address) as channel,
            ):
                await RouterServiceStub(channel).Complete(ask("m"), metadata=suite.metadata)
                process.signal(signal.SIGTERM)
                assert await process.ended() == 0
        assert (proxy.connections, bytes(proxy.received)) == (0, b"")


def test_the_demonstration_sends_none_either() -> None:
    with stranger() as proxy:
        done = run(
            [sys.executable, "-m", "cli", "demo"],
            env=clean_environment(proxy.environ),
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert (proxy.connections, bytes(proxy.received)) == (0, b"")


def _traced() -> dict[str, str]:
    services = ("ROUTER", "CACHE", "RATELIMIT", "BILLING")
    return {f"HEADGATE_{service}_OTLP_ENDPOINT": _COLLECTOR for service in services}


def _probed(address: str, proxy: Stranger) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in proxy.environ.items():
            patch.setenv(name, value)
        return probe([address]) == 0
