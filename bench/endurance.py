"""What a key that the router knows endures while billing is down: wrong ones, in the process itself."""

import time

from bench.wrong_key_sender import wrong_key
from headgate.common.v1 import caller_pb2
from services._runtime.errors import GatewayError, PeerUnavailableError
from services._runtime.rpc.authentication import AddressNeededError
from services._runtime.telemetry.logs import get_logger
from services.router.accounts.authentication import KeyAuthentication
from services.router.accounts.wrong_keys import WrongKeys
from services.router.peers import Principal

WRONG_KEYS = 200_000


class _Lost:
    """Billing that knew one key, and is down."""

    is_down = False

    async def resolve(self, _token: str) -> Principal:
        if self.is_down:
            raise PeerUnavailableError("down")
        return Principal(caller_pb2.Caller(organization_id="acme"), has_hard_budget=False)


async def endure(count: int = WRONG_KEYS) -> dict[str, float]:
    """:raises GatewayError: the known key was refused."""
    accounts, good = _Lost(), wrong_key()
    clock = [0.0]
    authentication = KeyAuthentication(
        accounts,
        WrongKeys(lambda _kind: None, get_logger(), lambda: clock[0]),
        lambda: clock[0],
        time.time_ns,
        fresh_seconds=5.0,
        stale_seconds=600.0,
    )
    await _ask(authentication, good)
    accounts.is_down, clock[0], began = True, 6.0, time.monotonic()
    for number in range(count):
        try:
            await _ask(authentication, wrong_key())
        except GatewayError:
            if number % 1_000 == 0:
                await _ask(authentication, good)
    await _ask(authentication, good)
    return {
        "wrong keys that a known one outlived while billing was down": count,
        "in seconds": time.monotonic() - began,
    }


async def _ask(authentication: KeyAuthentication, key: str) -> None:
    try:
        await authentication({"authorization": f"Bearer {key}"})
    except AddressNeededError as needed:
        await needed.ask("10.0.0.7")
