"""Services as an operator starts them by hand: none that would let strangers in serves, and each says what to set."""

import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from headgate.billing.v1 import account_service_pb2, account_service_pb2_grpc
from tests.support.waiting import until

INTERNAL = ("cache", "ratelimit", "billing")
TOKEN = "t" * 32
SECONDS = 60.0


def start(service: str, data_dir: Path, **variables: str) -> "subprocess.Popen[str]":
    """`variables` without their prefix, `HEADGATE_`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADGATE_")}
    own = {f"HEADGATE_{name}": value for name, value in variables.items()}
    prefix = f"HEADGATE_{service.upper()}_"
    quiet = {
        f"{prefix}METRICS_LISTEN": "off",
        f"{prefix}LISTEN": "127.0.0.1:0",
        f"{prefix}LAME_DUCK_SECONDS": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-m", f"services.{service}"],
        env={**inherited, "HEADGATE_DATA_DIR": str(data_dir), **quiet, **own},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(service: str, data_dir: Path, **variables: str) -> str:
    """What it said when it did not start."""
    with start(service, data_dir, **variables) as process:
        try:
            _, said = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 2, said
    return said


@pytest.mark.parametrize("service", INTERNAL)
def test_without_a_token_a_service_does_not_serve_and_says_what_to_set(service: str, tmp_path: Path) -> None:
    said = refused(service, tmp_path)
    assert said.startswith(
        "HEADGATE_INTERNAL_TOKEN is not set, and every user of this machine would be let in"
    )
    assert "HEADGATE_ALLOW_NO_INTERNAL_TOKEN=true" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("service", INTERNAL)
def test_no_choice_opens_a_service_without_a_token_to_other_machines(service: str, tmp_path: Path) -> None:
    prefix = service.upper()
    chosen = {
        f"{prefix}_LISTEN": "0.0.0.0:0",
        f"{prefix}_ALLOW_INSECURE_LISTEN": "true",
        "ALLOW_NO_INTERNAL_TOKEN": "true",
    }
    said = refused(service, tmp_path, **chosen)
    assert said.startswith(
        "HEADGATE_INTERNAL_TOKEN is not set, and whoever reaches 0.0.0.0:0 would be let in"
    )


def test_a_token_of_one_character_is_none(tmp_path: Path) -> None:
    said = refused("billing", tmp_path, INTERNAL_TOKEN="t")
    assert said.startswith("HEADGATE_INTERNAL_TOKEN has fewer than 32 characters")


@pytest.mark.parametrize("service", ["router", "billing"])
def test_metrics_are_not_open_to_others_by_accident(service: str, tmp_path: Path) -> None:
    said = refused(
        service, tmp_path, INTERNAL_TOKEN=TOKEN, **{f"{service.upper()}_METRICS_LISTEN": "0.0.0.0:0"}
    )
    assert f"set HEADGATE_{service.upper()}_ALLOW_INSECURE_METRICS=true" in said


def test_a_router_does_not_tell_the_token_to_other_machines_in_clear(tmp_path: Path) -> None:
    said = refused("router", tmp_path, INTERNAL_TOKEN=TOKEN, ROUTER_BILLING_ADDRESS="billing.internal:50054")
    assert said.startswith("HEADGATE_ROUTER_BILLING_ADDRESS=billing.internal:50054 is another machine")


def test_a_router_does_not_tell_a_providers_key_to_other_machines_in_clear(tmp_path: Path) -> None:
    config = tmp_path / "headgate.yaml"
    config.write_text(
        "router:\n  providers:\n    vllm: {api: openai, base_url: 'http://vllm.internal/v1', api_key: {env: HOME}}\n"
    )
    said = refused("router", tmp_path, CONFIG=str(config))
    assert "headgate.yaml:3: router.providers.vllm: base_url: without TLS the api_key can be read" in said


async def test_billing_with_a_token_makes_keys_for_those_who_know_it_alone(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    variables = {
        "INTERNAL_TOKEN": TOKEN,
        "BILLING_LISTEN": "0.0.0.0:0",
        "BILLING_ALLOW_INSECURE_LISTEN": "true",
        "BILLING_PORT_FILE": str(port_file),
    }
    with start("billing", tmp_path, **variables) as process:
        try:
            await until(port_file.exists, "an address")
            port = port_file.read_text().strip().rpartition(":")[2]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                accounts = account_service_pb2_grpc.AccountServiceStub(channel)
                request = account_service_pb2.CreateAccountRequest(
                    account=account_service_pb2.Account(organization_id="acme")
                )
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await accounts.CreateAccount(request)
                assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
                await accounts.CreateAccount(request, metadata=(("authorization", f"Bearer {TOKEN}"),))
        finally:
            process.kill()
