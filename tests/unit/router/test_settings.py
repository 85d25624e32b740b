"""Peers are told the internal token and API keys, so they are called in clear on this machine alone, unless it is chosen."""

from itertools import product
from pathlib import Path

import pytest

from services._runtime.configuration.settings import SettingsError
from services.router.settings import RouterSettings

HERE = (
    "127.0.0.1:1",
    "localhost:1",
    "[::1]:1",
    "0.0.0.0:1",
    "unix:/run/peer",
    "ipv4:127.0.0.1:1,127.0.0.2:1",
)
ELSEWHERE = (
    *("billing:50054", "10.0.0.7:1", "dns:///billing:1", "dns://127.0.0.1/billing:1", "[2001:db8::1]:1"),
    *("ipv4:127.0.0.1:1,10.0.0.7:1", "passthrough:///billing:1", "xds:///billing"),
)


def starts(**settings: object) -> bool:
    try:
        RouterSettings(**settings)  # type: ignore[arg-type]
    except SettingsError:
        return False
    return True


@pytest.mark.parametrize(
    ("peer", "address", "ca", "allowed"),
    [*product(("cache", "ratelimit", "billing"), (*HERE, *ELSEWHERE), (None, Path("ca.pem")), (True, False))],
)
def test_a_peer_elsewhere_is_called_over_tls_or_by_choice(
    peer: str, address: str, ca: Path | None, allowed: bool
) -> None:
    settings = {f"{peer}_address": address, "peer_ca_file": ca, "allow_insecure_peers": allowed}
    assert starts(**settings) == (address in HERE or ca is not None or allowed)


def test_the_refusal_names_every_peer_and_the_remedies() -> None:
    with pytest.raises(SettingsError) as refused:
        RouterSettings(cache_address="cache:50052", billing_address="billing:50054")
    assert [problem.partition(" ")[0] for problem in refused.value.problems] == [
        "HEADGATE_ROUTER_CACHE_ADDRESS=cache:50052",
        "HEADGATE_ROUTER_BILLING_ADDRESS=billing:50054",
    ]
    for problem in refused.value.problems:
        assert "HEADGATE_ROUTER_PEER_CA_FILE" in problem
        assert "HEADGATE_ROUTER_ALLOW_INSECURE_PEERS=true" in problem
