"""Captures and voids: spooled first, delivered now or later, in order, booked once."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import usage_pb2 as billing_usage
from services._runtime.errors import Code, GatewayError
from services.router.accounts import settlement
from services.router.accounts.refused import RefusedFiles
from services.router.accounts.settlement import Settlements
from services.router.accounts.spool import open_spool
from tests.support.router_peers import ACME, RecordingBilling, counted
from tests.support.waiting import until


class ConflictError(GatewayError):
    code = Code.FAILED_PRECONDITION
    reason = "USAGE_CONFLICT"


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def error(self, event: str, **_: Any) -> None:
        self.lines.append(event)


class Desk:
    """Settlements over a spool in a folder of the test's."""

    def __init__(self, root: Path, bank: RecordingBilling, refused_bytes: int = 1_000_000) -> None:
        self.root = root
        self.bank = bank
        self.log = Log()
        self.refusals = 0
        self.spool, _ = open_spool(root / "spool", 1_000_000)
        self.settlements = Settlements(
            self.spool, bank, RefusedFiles(root, refused_bytes), self.log, self._count
        )

    def _count(self) -> None:
        self.refusals += 1

    def refused_files(self) -> list[Path]:
        return sorted(self.root.glob("refused*.jsonl"))

    def refused(self) -> list[dict[str, Any]]:
        return [json.loads(line) for path in self.refused_files() for line in path.read_text().splitlines()]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "_IDLE_SECONDS", 0.001)
    monkeypatch.setattr(settlement, "_MAX_BACKOFF_SECONDS", 0.002)


@pytest.fixture
def bank() -> RecordingBilling:
    return RecordingBilling()


@pytest.fixture
async def desk(tmp_path: Path, bank: RecordingBilling) -> AsyncIterator[Desk]:
    made = Desk(tmp_path, bank)
    yield made
    bank.outage.end()
    await made.settlements.stop()


def order(number: int) -> billing.CaptureRequest:
    record = billing_usage.UsageRecord(attempt_id=f"a{number}", caller=ACME, usage=counted(1, 2))
    return billing.CaptureRequest(hold_id=f"h{number}", records=[record])


async def delivered(desk: Desk) -> None:
    await until(lambda: desk.settlements.depth == 0, "delivery", 0.001)


async def test_a_capture_is_answered_and_nothing_stays_behind(desk: Desk) -> None:
    response = await desk.settlements.capture(order(1))
    assert response is not None
    assert response.total_nanos == 30
    assert desk.settlements.depth == 0


async def test_during_an_outage_usage_is_kept_and_afterwards_delivered_in_order_and_once(desk: Desk) -> None:
    desk.bank.outage.all("capture", "void")
    for number in range(200):
        assert await desk.settlements.capture(order(number)) is None
    assert desk.settlements.depth == 200
    desk.settlements.start()
    desk.bank.outage.end()
    await delivered(desk)
    assert desk.bank.calls == [f"a{number}" for number in range(200)]
    assert set(desk.bank.captured.values()) == {1}


async def test_a_void_is_kept_and_delivered_too(desk: Desk) -> None:
    desk.bank.outage.all("void")
    await desk.settlements.void("h1")
    assert desk.settlements.depth == 1
    desk.bank.outage.end()
    desk.settlements.start()
    await delivered(desk)
    assert desk.bank.void_holds == {"h1": 1}


async def test_what_is_being_delivered_is_not_replayed_beside_it(desk: Desk) -> None:
    desk.settlements.start()
    await asyncio.gather(*(desk.settlements.capture(order(number)) for number in range(50)))
    assert set(desk.bank.captured.values()) == {1}


async def test_usage_that_billing_refuses_for_good_is_written_down_for_a_person(desk: Desk) -> None:
    desk.bank.outage["capture"] = ConflictError("booked before with other content")
    assert await desk.settlements.capture(order(1)) is None
    assert desk.settlements.depth == 0
    assert desk.refusals == 1
    (line,) = desk.refused()
    assert (line["reason"], line["request"]["records"][0]["attemptId"]) == ("USAGE_CONFLICT", "a1")


async def test_refused_usage_that_cannot_be_written_down_stays_in_the_spool(desk: Desk) -> None:
    (desk.root / "refused.jsonl").mkdir()
    desk.bank.outage["capture"] = ConflictError("no")
    await desk.settlements.capture(order(1))
    assert desk.settlements.depth == 1
    assert desk.refusals == 0


async def test_refused_usage_that_fills_its_room_stops_requests_until_it_is_taken_away(
    tmp_path: Path, bank: RecordingBilling
) -> None:
    desk = Desk(tmp_path, bank, refused_bytes=1000)
    desk.settlements.start()
    bank.outage["capture"] = ConflictError("no")
    refused = 0
    while not desk.settlements.is_full:
        await desk.settlements.capture(order(refused))
        refused += 1
    # What has happened is kept all the same.
    await desk.settlements.capture(order(refused))
    assert len(desk.refused()) == desk.refusals == refused + 1
    assert any("until files are taken away" in line for line in desk.log.lines)
    for path in desk.refused_files():
        path.unlink()
    await until(lambda: not desk.settlements.is_full, "room")
    await desk.settlements.stop()


@pytest.mark.parametrize(
    "code",
    [
        Code.UNAVAILABLE,
        Code.DEADLINE_EXCEEDED,
        Code.INTERNAL,
        Code.UNKNOWN,
        Code.RESOURCE_EXHAUSTED,
        Code.UNAUTHENTICATED,
    ],
)
async def test_what_may_mend_itself_is_tried_again(desk: Desk, code: Code) -> None:
    error = GatewayError("later")
    error.code = code
    desk.bank.outage["capture"] = error
    await desk.settlements.capture(order(1))
    assert desk.settlements.depth == 1


async def test_a_capture_whose_caller_is_torn_away_is_still_delivered(desk: Desk) -> None:
    desk.settlements.start()
    capturing = asyncio.create_task(desk.settlements.capture(order(1)))
    await asyncio.sleep(0)
    capturing.cancel()
    await delivered(desk)
    assert list(desk.bank.ledger) == ["a1"]


async def test_a_process_killed_between_spooling_and_delivering_loses_nothing(
    tmp_path: Path, bank: RecordingBilling
) -> None:
    first = Desk(tmp_path, bank)
    bank.outage.all("capture")
    for number in range(3):
        await first.settlements.capture(order(number))
    first.spool.close()
    bank.outage.end()
    second = Desk(tmp_path, bank)
    second.settlements.start()
    await delivered(second)
    await second.settlements.stop()
    assert list(bank.ledger) == ["a0", "a1", "a2"]


async def test_stopping_delivers_what_is_left(tmp_path: Path, bank: RecordingBilling) -> None:
    desk = Desk(tmp_path, bank)
    bank.outage.all("capture")
    await desk.settlements.capture(order(1))
    bank.outage.end()
    await desk.settlements.stop()
    assert list(bank.ledger) == ["a1"]


async def test_stopping_while_billing_is_down_keeps_it_for_the_next_start(
    tmp_path: Path, bank: RecordingBilling
) -> None:
    desk = Desk(tmp_path, bank)
    desk.settlements.start()
    bank.outage.all("capture")
    await desk.settlements.capture(order(1))
    await desk.settlements.stop()
    assert [payload[:1] for _, payload in open_spool(tmp_path / "spool", 1000)[0].unacknowledged()] == [b"C"]


async def test_a_disk_that_fails_is_told_and_does_not_end_delivery(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(type(desk.spool), "retry", lambda _self: broken())
    desk.bank.outage.all("capture")
    await desk.settlements.capture(order(1))
    desk.settlements.start()
    desk.bank.outage.end()
    await delivered(desk)
    assert "the spool's disk fails; no requests are admitted until it works" in desk.log.lines


class Killed(Desk):
    """A desk whose process is gone: its folder's lock is free, and nothing else of it is left in memory."""

    def die(self) -> None:
        self.spool.close()


def checkpoint(number: int, output_tokens: int) -> billing.CaptureRequest:
    noted = order(number)
    noted.records[0].usage.output_tokens = output_tokens
    noted.from_checkpoint = True
    return noted


async def after_a_kill(tmp_path: Path, bank: RecordingBilling, killed: Killed) -> None:
    """Another process delivers all that the killed one left."""
    killed.die()
    other = Desk(tmp_path, bank)
    other.settlements.start()
    await until(lambda: other.settlements.depth == 0, "delivery")
    await other.settlements.stop()


async def test_of_a_killed_process_the_last_checkpoint_is_booked_and_no_earlier_one(
    tmp_path: Path, bank: RecordingBilling
) -> None:
    killed = Killed(tmp_path, bank)
    killed.settlements.open("h1")
    for tokens in (3, 5, 8):
        killed.settlements.checkpoint(checkpoint(1, tokens))
    await after_a_kill(tmp_path, bank, killed)
    assert bank.captured == {"h1": 1}
    assert bank.ledger["a1"].usage.output_tokens == 8


async def test_what_a_killed_process_had_begun_and_not_noted_more_of_is_void(
    tmp_path: Path, bank: RecordingBilling
) -> None:
    killed = Killed(tmp_path, bank)
    killed.settlements.open("h1")
    await after_a_kill(tmp_path, bank, killed)
    assert (bank.void_holds, bank.captured) == ({"h1": 1}, {})


async def test_a_checkpoint_of_what_was_captured_says_nothing_any_more(
    tmp_path: Path, bank: RecordingBilling
) -> None:
    killed = Killed(tmp_path, bank)
    bank.outage["capture"] = GatewayError("gone")
    bank.outage["void"] = GatewayError("gone")
    for number in (1, 2):
        killed.settlements.open(f"h{number}")
        killed.settlements.checkpoint(checkpoint(number, 1))
    await killed.settlements.capture(order(1))
    await killed.settlements.void("h2")
    # As if the disk had kept them: a record is never marked, and its segment goes when all of it is acknowledged.
    killed.spool.append(b"P" + checkpoint(1, 1).SerializeToString())
    killed.spool.append(b"Oh2")
    bank.outage.end()
    await after_a_kill(tmp_path, bank, killed)
    assert (bank.captured, bank.void_holds) == ({"h1": 1}, {"h2": 1})
    assert bank.ledger["a1"].usage.output_tokens == 2


async def test_what_runs_is_not_sent_and_counts_for_nothing_that_waits(desk: Desk) -> None:
    desk.settlements.start()
    desk.settlements.open("h1")
    desk.settlements.checkpoint(checkpoint(1, 3))
    await asyncio.sleep(0.02)
    assert (desk.bank.calls, desk.settlements.depth) == ([], 0)
    await desk.settlements.capture(order(1))
    assert (desk.bank.captured, desk.spool.depth) == ({"h1": 1}, 0)
    # A tick that comes later opens nothing again.
    desk.settlements.checkpoint(checkpoint(1, 9))
    assert desk.spool.depth == 0
