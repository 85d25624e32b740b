"""Keys are resolved by billing and remembered for a short while."""

import asyncio

import pytest

from services._runtime.errors import (
    Code,
    GatewayError,
    InvalidTokenError,
    MissingCredentialsError,
    PeerUnavailableError,
)
from services.router.accounts import authentication
from services.router.accounts.authentication import KeyAuthentication
from services.router.peers import Principal
from tests.support.router_peers import principal

FRESH, STALE = 5.0, 600.0


class RevokedError(GatewayError):
    code = Code.UNAUTHENTICATED
    reason = "KEY_REVOKED"


class Accounts:
    """Knows every key, until it is told otherwise."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: GatewayError | None = None
        self.gate: asyncio.Event | None = None

    async def resolve(self, token: str) -> Principal:
        self.asked.append(token)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return principal()


class Desk:
    """An authentication with a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.accounts = Accounts()
        self.authentication = KeyAuthentication(self.accounts, lambda: self.now, FRESH, STALE)

    async def ask(self, token: str = "hg_a_s") -> Principal:
        return await self.authentication({"authorization": f"Bearer {token}"})


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_call_without_a_key_is_refused_before_billing_is_asked(desk: Desk) -> None:
    with pytest.raises(MissingCredentialsError):
        await desk.authentication({})
    assert desk.accounts.asked == []


async def test_a_key_is_asked_for_once_while_it_is_fresh(desk: Desk) -> None:
    for _ in range(3):
        assert await desk.ask() == principal()
    assert len(desk.accounts.asked) == 1
    desk.now += FRESH
    await desk.ask()
    assert len(desk.accounts.asked) == 2


async def test_a_refusal_is_remembered_as_long_as_an_admission(desk: Desk) -> None:
    desk.accounts.error = RevokedError("revoked")
    for _ in range(3):
        with pytest.raises(RevokedError):
            await desk.ask()
    assert len(desk.accounts.asked) == 1


async def test_a_revoked_key_works_no_longer_than_it_is_fresh(desk: Desk) -> None:
    await desk.ask()
    desk.accounts.error = RevokedError("revoked")
    desk.now += FRESH - 0.01
    await desk.ask()
    desk.now += 0.01
    with pytest.raises(RevokedError):
        await desk.ask()


async def test_a_known_key_works_while_billing_is_down_until_it_is_stale(desk: Desk) -> None:
    await desk.ask()
    desk.accounts.error = PeerUnavailableError("down")
    desk.now += STALE - 0.01
    assert await desk.ask() == principal()
    desk.now += 0.01
    with pytest.raises(PeerUnavailableError) as refusal:
        await desk.ask()
    assert refusal.value.retry_after_seconds == 1.0


async def test_an_unknown_key_does_not_work_while_billing_is_down(desk: Desk) -> None:
    desk.accounts.error = PeerUnavailableError("down")
    with pytest.raises(PeerUnavailableError):
        await desk.ask()


async def test_a_refused_key_does_not_begin_to_work_when_billing_goes_down(desk: Desk) -> None:
    desk.accounts.error = RevokedError("revoked")
    with pytest.raises(RevokedError):
        await desk.ask()
    desk.now += FRESH
    desk.accounts.error = PeerUnavailableError("down")
    with pytest.raises(PeerUnavailableError):
        await desk.ask()


async def test_requests_that_come_together_with_one_key_are_one_question(desk: Desk) -> None:
    desk.accounts.gate = asyncio.Event()
    asking = [asyncio.create_task(desk.ask()) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    desk.accounts.gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [principal()] * 19
    assert len(desk.accounts.asked) == 1


async def test_the_oldest_keys_are_forgotten_first(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "MAX_KEYS", 2)
    for token in ("hg_a_s", "hg_b_s", "hg_c_s"):
        await desk.ask(token)
    await desk.ask("hg_c_s")
    await desk.ask("hg_b_s")
    assert len(desk.accounts.asked) == 3
    await desk.ask("hg_a_s")
    assert len(desk.accounts.asked) == 4


async def test_no_key_is_kept_as_text(desk: Desk) -> None:
    await desk.ask("hg_id_secret")
    assert "secret" not in repr(vars(desk.authentication))


@pytest.mark.parametrize(
    "token", ["junk", "hg_", "hg_a", "hg_a_", "hg__s", "sk-abc", "hg_a_s!", "hg_a_" + "x" * 257]
)
async def test_what_has_not_the_form_of_a_key_is_refused_without_asking(desk: Desk, token: str) -> None:
    with pytest.raises(InvalidTokenError):
        await desk.ask(token)
    assert desk.accounts.asked == []


async def test_wrong_keys_push_no_good_one_out_and_are_bounded(desk: Desk) -> None:
    await desk.ask("hg_good_s")
    desk.accounts.error = RevokedError("no such key")
    for number in range(authentication.MAX_REFUSED + 100):
        with pytest.raises(RevokedError):
            await desk.ask(f"hg_wrong_{number}")
    assert len(desk.authentication._refused) == authentication.MAX_REFUSED
    desk.accounts.error = PeerUnavailableError("down")
    desk.now += FRESH
    assert await desk.ask("hg_good_s") == principal()


async def test_a_flood_of_unknown_keys_asks_a_few_at_a_time_and_known_ones_pass_it(desk: Desk) -> None:
    await desk.ask("hg_good_s")
    desk.now += FRESH
    desk.accounts.asked.clear()
    desk.accounts.gate = asyncio.Event()
    flood = [asyncio.create_task(desk.ask(f"hg_new_{number}")) for number in range(300)]
    good = asyncio.create_task(desk.ask("hg_good_s"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(desk.accounts.asked) == authentication.UNKNOWN_AT_ONCE + 1
    assert "hg_good_s" in desk.accounts.asked
    desk.accounts.gate.set()
    assert await good == principal()
    assert await asyncio.gather(*flood) == [principal()] * 300


async def test_a_key_that_was_refused_is_asked_for_again_after_a_while(desk: Desk) -> None:
    desk.accounts.error = RevokedError("no such key")
    with pytest.raises(RevokedError):
        await desk.ask()
    desk.accounts.error = None
    desk.now += FRESH
    assert await desk.ask() == principal()
