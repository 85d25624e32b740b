"""Keys are resolved by billing and remembered for a short while."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from services._runtime.errors import (
    Code,
    GatewayError,
    InvalidTokenError,
    MissingCredentialsError,
    PeerUnavailableError,
)
from services._runtime.rpc.authentication import AddressNeededError
from services.router.accounts import authentication, verdicts
from services.router.accounts.authentication import KeyAuthentication
from services.router.accounts.throttle import HALF_LIFE_SECONDS, MOST_FAILURES, RETRY_SECONDS
from services.router.accounts.wrong_keys import ANSWERS_PER_SECOND, WrongKeys
from services.router.errors import KeyRevokedError, TooManyWrongKeysError
from services.router.peers import Principal
from tests.support.api_keys import api_key, api_key_of_earlier_releases
from tests.support.router_peers import principal

FRESH, STALE = 5.0, 600.0
EPOCH_NS = 1_800_000_000 * 10**9
GOOD, NEW = api_key("good"), api_key("new")
HERE, ELSEWHERE = "10.0.0.7", "10.0.0.8"


class RevokedError(GatewayError):
    code = Code.UNAUTHENTICATED
    reason = "KEY_REVOKED"


class UnknownError(GatewayError):
    code = Code.UNAUTHENTICATED
    reason = "INVALID_KEY"


class Accounts:
    """Knows every key but those that are `wrong`, until it is told otherwise."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: GatewayError | None = None
        self.gate: asyncio.Event | None = None
        self.principal = principal()

    async def resolve(self, token: str) -> Principal:
        self.asked.append(token)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        if "wrong" in token:
            raise UnknownError("no such API key")
        return self.principal


class Lines:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def warning(self, _event: str, **said: Any) -> None:
        self.told.append(said)


class Desk:
    """An authentication with a clock that the test sets; who waits makes the clock go on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.accounts = Accounts()
        self.counted: Counter[str] = Counter()
        self.log = Lines()
        wrong = WrongKeys(lambda kind: self.counted.update([kind]), self.log, lambda: self.now, self.sleep)
        self.authentication = KeyAuthentication(
            self.accounts, wrong, lambda: self.now, self.epoch_ns, fresh_seconds=FRESH, stale_seconds=STALE
        )

    def epoch_ns(self) -> int:
        return EPOCH_NS + round((self.now - 1000.0) * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def ask(self, token: str = GOOD, address: str = HERE) -> Principal:
        try:
            return await self.authentication({"authorization": f"Bearer {token}"})
        except AddressNeededError as needed:
            admitted: Principal = await needed.ask(address)
            return admitted

    async def fail(self, times: int, address: str = HERE, key_id: str = "") -> None:
        """Wrong keys, of many key ids or of one."""
        for number in range(times):
            token = api_key(key_id or f"wrong{number}x", f"wrong{number}x")
            with pytest.raises(GatewayError):
                await self.ask(token, address)


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
    monkeypatch.setattr(verdicts, "MAX_KEYS", 2)
    for key_id in "abc":
        await desk.ask(api_key(key_id))
    await desk.ask(api_key("c"))
    await desk.ask(api_key("b"))
    assert len(desk.accounts.asked) == 3
    await desk.ask(api_key("a"))
    assert len(desk.accounts.asked) == 4


async def test_no_key_is_kept_as_text(desk: Desk) -> None:
    await desk.ask(api_key("id", "secret"))
    await desk.fail(2 * int(MOST_FAILURES), key_id="secret")
    desk.accounts.gate = asyncio.Event()
    asking = asyncio.create_task(desk.ask(api_key("id", "othersecret")))
    await asyncio.sleep(0)
    held = [
        vars(part)
        for part in (desk.authentication, desk.authentication._verdicts, desk.authentication._throttle)
    ]
    assert "secret" not in repr(held)
    asking.cancel()


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("junk", "malformed"),
        ("hg_a_s", "malformed"),
        (GOOD[:-1] + "!", "malformed"),
        (GOOD[:-7] + "x" + GOOD[-6:], "checksum"),
    ],
)
async def test_what_is_no_key_is_refused_without_asking(desk: Desk, token: str, kind: str) -> None:
    with pytest.raises(InvalidTokenError):
        await desk.ask(token)
    assert desk.accounts.asked == []
    assert desk.counted == {kind: 1}


async def test_a_key_of_earlier_releases_works(desk: Desk) -> None:
    assert await desk.ask(api_key_of_earlier_releases()) == principal()


async def test_wrong_keys_push_no_good_one_out_and_are_bounded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "MAX_REFUSED", 100)
    await desk.ask()
    for number in range(200):
        await desk.fail(1, address=f"10.0.1.{number}", key_id=f"wrong{number}")
    assert len(desk.authentication._verdicts._bad) == verdicts.MAX_REFUSED
    desk.accounts.error = PeerUnavailableError("down")
    desk.now += FRESH
    assert await desk.ask() == principal()


async def test_a_flood_of_unknown_keys_asks_a_few_at_a_time_and_known_ones_pass_it(desk: Desk) -> None:
    await desk.ask()
    desk.now += FRESH
    desk.accounts.asked.clear()
    desk.accounts.gate = asyncio.Event()
    flood = [asyncio.create_task(desk.ask(api_key(f"new{number}x"))) for number in range(300)]
    good = asyncio.create_task(desk.ask())
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(desk.accounts.asked) == authentication.UNKNOWN_AT_ONCE + 1
    assert GOOD in desk.accounts.asked
    desk.accounts.gate.set()
    assert await good == principal()
    assert await asyncio.gather(*flood) == [principal()] * 300


async def test_of_a_flood_of_wrong_keys_few_are_asked_for(desk: Desk) -> None:
    desk.accounts.gate = asyncio.Event()
    flood = [asyncio.create_task(desk.fail(1, key_id=f"wrong{number}x")) for number in range(300)]
    await asyncio.sleep(0)
    desk.accounts.gate.set()
    await asyncio.gather(*flood)
    assert len(desk.accounts.asked) <= MOST_FAILURES + authentication.UNKNOWN_AT_ONCE
    assert desk.counted.total() == 300


async def test_who_has_a_known_key_meets_no_throttle(desk: Desk) -> None:
    await desk.ask()
    asked = len(desk.accounts.asked)
    await desk.fail(100)
    await desk.fail(100, key_id="good")
    before = desk.now
    assert await desk.ask() == principal()
    assert desk.now == before
    assert len(desk.accounts.asked) - asked < 3 * MOST_FAILURES


async def test_a_good_key_behind_an_address_that_fails_gets_in_when_it_comes_again(desk: Desk) -> None:
    await desk.fail(100)
    with pytest.raises(TooManyWrongKeysError) as refusal:
        await desk.ask(NEW)
    assert refusal.value.retry_after_seconds == RETRY_SECONDS
    assert await desk.ask(api_key("other"), ELSEWHERE) == principal()
    desk.now += RETRY_SECONDS
    await desk.fail(20, key_id="another")
    assert await desk.ask(NEW) == principal()


async def test_many_good_keys_behind_one_address_that_fails_all_get_in(desk: Desk) -> None:
    await desk.fail(100)
    keys = [api_key(f"new{number}x") for number in range(500)]
    # All come within the second in which the failures count most.
    for key in keys:
        with pytest.raises(TooManyWrongKeysError):
            await asyncio.create_task(_without_waiting(desk, key))
    desk.now += RETRY_SECONDS
    assert [await desk.ask(key) for key in keys] == [principal()] * 500


async def _without_waiting(desk: Desk, key: str) -> None:
    before = desk.now
    try:
        await desk.ask(key)
    finally:
        desk.now = before


async def test_a_key_id_that_is_guessed_at_from_everywhere_is_throttled_alone(desk: Desk) -> None:
    for number in range(100):
        await desk.fail(1, address=f"10.0.1.{number}", key_id="new")
        with pytest.raises(GatewayError):
            await desk.ask(api_key("new", f"wrong{number}x"), f"10.0.1.{number}")
    asked = len(desk.accounts.asked)
    with pytest.raises(TooManyWrongKeysError):
        await desk.ask(NEW, "10.0.9.9")
    assert await desk.ask(api_key("other"), "10.0.1.1") == principal()
    assert len(desk.accounts.asked) == asked + 1
    desk.now += RETRY_SECONDS
    assert await desk.ask(NEW, "10.0.9.9") == principal()


async def test_four_thousand_wrong_secrets_of_one_key_are_slowed_counted_and_told(desk: Desk) -> None:
    began = desk.now
    await desk.fail(4_000, key_id="victim")
    seconds = desk.now - began
    assert seconds > 0.9 * 4_000 / ANSWERS_PER_SECOND
    assert len(desk.accounts.asked) < MOST_FAILURES + seconds * (MOST_FAILURES + 1) / HALF_LIFE_SECONDS
    assert desk.counted.total() == 4_000
    assert desk.counted["unknown"] == len(desk.accounts.asked)
    assert {line["kind"] for line in desk.log.told} == {"unknown", "throttled"}
    assert len(desk.log.told) <= 2 * (seconds + 1)
    assert all(line["key_id"] == "victim0000000000" and line["address"] == HERE for line in desk.log.told)
    assert "wrong" not in repr(desk.log.told)


async def test_unknown_keys_while_billing_is_down_are_nobodys_fault(desk: Desk) -> None:
    desk.accounts.error = PeerUnavailableError("down")
    for number in range(100):
        with pytest.raises(PeerUnavailableError):
            await desk.ask(api_key(f"new{number}x"))
    assert desk.counted.total() == 0
    desk.accounts.error = None
    assert await desk.ask(NEW) == principal()


async def test_a_key_ends_in_the_second_in_which_it_expires_though_its_verdict_is_fresh(desk: Desk) -> None:
    desk.accounts.principal = replace(principal(), expire_ns=EPOCH_NS + 2 * 10**9)
    await desk.ask()
    desk.now += 1.999
    assert (await desk.ask()).caller == principal().caller
    desk.now += 0.001
    with pytest.raises(KeyRevokedError):
        await desk.ask()
    assert len(desk.accounts.asked) == 1


async def test_a_key_ends_when_it_expires_also_while_billing_is_down(desk: Desk) -> None:
    desk.accounts.principal = replace(principal(), expire_ns=EPOCH_NS + 60 * 10**9)
    await desk.ask()
    desk.accounts.error = PeerUnavailableError("down")
    desk.now += 59.9
    await desk.ask()
    desk.now += 0.1
    with pytest.raises(KeyRevokedError):
        await desk.ask()
    desk.now += FRESH
    with pytest.raises(PeerUnavailableError):
        await desk.ask()


async def test_a_key_that_has_ended_by_this_machines_clock_is_not_let_in_by_anothers(desk: Desk) -> None:
    desk.accounts.principal = replace(principal(), expire_ns=EPOCH_NS)
    with pytest.raises(KeyRevokedError):
        await desk.ask()
    assert desk.counted == {"revoked": 1}


async def test_a_key_that_was_refused_is_asked_for_again_after_a_while(desk: Desk) -> None:
    desk.accounts.error = RevokedError("no such key")
    with pytest.raises(RevokedError):
        await desk.ask()
    desk.accounts.error = None
    desk.now += FRESH
    assert await desk.ask() == principal()


async def test_a_known_key_outlives_a_flood_of_wrong_ones_while_billing_is_down(desk: Desk) -> None:
    """`python -m bench wrong-keys` does the same with ten times as many."""
    await desk.ask()
    desk.now += FRESH
    desk.accounts.error = PeerUnavailableError("down")
    for number in range(20_000):
        with pytest.raises(PeerUnavailableError):
            await desk.ask(api_key(f"wrong{number}x"))
    assert await desk.ask() == principal()
    assert desk.counted.total() == 0


async def test_a_refusal_that_is_remembered_leads_to_no_key(desk: Desk) -> None:
    """Nor one that nobody waited for in the end: whoever would have cleared it has gone."""
    token = api_key("wrong")
    for _ in range(2):
        with pytest.raises(UnknownError) as refusal:
            await desk.ask(token)
        (kept,) = desk.authentication._verdicts._bad.values()
        assert kept.error is not refusal.value
        assert (kept.error.__traceback__, kept.error.__cause__, kept.error.__context__) == (None, None, None)
        assert kept.error.message == "no such API key"
