"""The whole process: what it acknowledged survives kill -9, and what can't work is refused at the start."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from headgate.billing.v1 import billing_service_pb2 as pb
from headgate.billing.v1 import budget_pb2
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from tests.service.billing.calls import RECORD_NANOS, authorize, capture, record
from tests.service.billing.processes import ROOT, START_SECONDS, Process, environment, running
from tests.support.postgres_server import PostgresServer

BATCH = 16
LIFE_COUNT = 3
PEPPER = "a pepper of the test"


@pytest.fixture(params=["sqlite", "postgresql"])
def variables(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "sqlite":
        return {}
    return {"STORE": request.getfixturevalue("postgres_url"), "KEY_PEPPER": PEPPER}


class Router:
    """Sends holds and captures without end, in batches, and remembers which captures were acknowledged."""

    def __init__(self, names: Iterator[int]) -> None:
        self._names = names
        self.acknowledged: list[str] = []
        self.sent: list[pb.CaptureRequest] = []

    def work(self, process: Process, enough: threading.Event) -> None:
        with process.channel() as channel, suppress(grpc.RpcError):
            stub = BillingServiceStub(channel)
            while True:
                self._settle_a_batch(stub)
                enough.set()

    def _settle_a_batch(self, stub: BillingServiceStub) -> None:
        names = [str(next(self._names)) for _ in range(BATCH)]
        stub.BatchAuthorize(pb.BatchAuthorizeRequest(requests=[authorize(f"h{name}") for name in names]))
        captures = [capture(f"h{name}", record(f"a{name}")) for name in names]
        self.sent += captures
        answer = stub.BatchCapture(pb.BatchCaptureRequest(requests=captures))
        assert all(result.HasField("response") for result in answer.results)
        self.acknowledged += [f"a{name}" for name in names]


def booked(stub: BillingServiceStub) -> list[str]:
    asked, attempts = pb.ListUsageRequest(page_size=1000), list[str]()
    while True:
        page = stub.ListUsage(asked)
        attempts += [entry.record.attempt_id for entry in page.entries]
        asked.page_token = page.next_page_token
        if not page.next_page_token:
            return attempts


def test_kill_9_loses_nothing_acknowledged_and_a_replay_books_nothing_twice(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    router = Router(iter(range(10**9)))
    for life in range(LIFE_COUNT):
        with running(tmp_path, **variables) as process:
            if life == 0:
                _set_budget(process)
            enough = threading.Event()
            working = threading.Thread(target=router.work, args=(process, enough))
            working.start()
            assert enough.wait(START_SECONDS)
            process.kill()
            working.join(START_SECONDS)
    with running(tmp_path, **variables) as process, process.channel() as channel:
        stub = BillingServiceStub(channel)
        assert set(router.acknowledged) <= set(booked(stub))
        for start in range(0, len(router.sent), 256):
            stub.BatchCapture(pb.BatchCaptureRequest(requests=router.sent[start : start + 256]))
        attempts = booked(stub)
        assert len(attempts) == len(set(attempts)) == len(router.sent)
        budget = stub.GetBudget(pb.GetBudgetRequest(budget_id="all")).budget
        assert budget.spent_nanos == len(router.sent) * RECORD_NANOS
        assert process.terminate() == 0


def test_kill_9_loses_no_hold(tmp_path: Path, variables: dict[str, str]) -> None:
    with running(tmp_path, **variables) as process:
        _set_budget(process)
        with process.channel() as channel:
            amount = BillingServiceStub(channel).Authorize(authorize("h")).amount_nanos
            process.kill()
    with running(tmp_path, **variables) as process, process.channel() as channel:
        stub = BillingServiceStub(channel)
        assert stub.GetBudget(pb.GetBudgetRequest(budget_id="all")).budget.held_nanos == amount > 0
        assert stub.Capture(capture("h", record("a"))).hold_captured


def _set_budget(process: Process) -> None:
    budget = budget_pb2.Budget(
        budget_id="all",
        organization_id="acme",
        limit_nanos=10**18,
        period=budget_pb2.BUDGET_PERIOD_TOTAL,
    )
    with process.channel() as channel:
        BillingServiceStub(channel).SetBudget(pb.SetBudgetRequest(budget=budget))


def run(data_dir: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "services.billing", *arguments],
        env=environment(data_dir, **variables),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def test_a_second_process_on_the_same_file_is_refused(tmp_path: Path) -> None:
    with running(tmp_path):
        refused = run(tmp_path, LISTEN="127.0.0.1:0")
    assert refused.returncode == 2
    assert "HEADGATE_BILLING_STORE" in refused.stderr
    assert "in use by another process" in refused.stderr


def test_migrate_brings_the_schema_up_and_ends(tmp_path: Path, variables: dict[str, str]) -> None:
    assert run(tmp_path, "migrate", **variables).returncode == 0
    assert run(tmp_path, "migrate", **variables).returncode == 0
    with running(tmp_path, **variables):
        pass


def test_an_unreachable_database_is_named_without_its_password(tmp_path: Path) -> None:
    store = "postgresql://user:hunter2@127.0.0.1:1/billing"
    for arguments in ((), ("migrate",)):
        refused = run(
            tmp_path,
            *arguments,
            STORE=store,
            KEY_PEPPER=PEPPER,
            LISTEN="127.0.0.1:0",
            START_WAIT_SECONDS="0.1",
        )
        assert refused.returncode == 2
        assert "HEADGATE_BILLING_STORE" in refused.stderr
        assert "waiting for the database" in refused.stdout
        assert "hunter2" not in refused.stderr + refused.stdout


def test_a_database_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    with PostgresServer.running() as postgres:
        store = postgres.new_database()
        postgres.kill()
        with subprocess.Popen(
            [sys.executable, "-m", "services.billing", "migrate"],
            env=environment(tmp_path, STORE=store, KEY_PEPPER=PEPPER, START_WAIT_SECONDS="90"),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as migrating:
            assert migrating.stdout is not None
            assert any("waiting for the database" in line for line in migrating.stdout)
            postgres.start()
            migrating.communicate(timeout=START_SECONDS)
            assert migrating.returncode == 0


def test_several_workers_share_a_postgresql(tmp_path: Path, postgres_url: str) -> None:
    with running(tmp_path, STORE=postgres_url, KEY_PEPPER=PEPPER, WORKERS="2") as process:
        for number in range(6):
            with process.channel() as channel:
                stub = BillingServiceStub(channel)
                stub.Capture(capture("", record(f"w{number}")))
                assert len(booked(stub)) == number + 1
        assert process.terminate() == 0
