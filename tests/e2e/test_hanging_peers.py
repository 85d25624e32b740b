"""Each peer of the router, and each store behind it, hangs for two seconds under load: no request fails for it, and the books
are true afterwards.
"""

from collections.abc import Iterator

import pytest

from bench.contenders.headgate import Shape, headgate
from bench.frozen import FROZEN, PATIENCE_SECONDS, freeze_each
from bench.lab import Lab
from cli.suite.signals import StopSignals
from tests.support.postgres_server import PostgresServer
from tests.support.programs import require_binary

pytestmark = pytest.mark.timeout(180)
# Without budgets: a hard one refuses while billing is lost, as it should.
SHAPE = Shape("headgate", is_shared=True, organizations=1, budgets=0)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Lab]:
    require_binary("redis-server")
    with (
        StopSignals() as signals,
        Lab.open([headgate(signals, SHAPE)], tmp_path_factory.mktemp("hanging")) as opened,
    ):
        yield opened


@pytest.mark.parametrize("name", FROZEN)
def test_no_request_fails_for_one_that_hangs_and_it_is_asked_again_when_it_goes_on(
    lab: Lab, name: str
) -> None:
    (seen,) = freeze_each(lab, SHAPE.name, [name], 2.0, lambda _what: None, usual_seconds=0.5)
    assert seen.requests > 0
    assert seen.errors == []
    assert seen.recovery_ms < PATIENCE_SECONDS * 1000


def test_afterwards_every_request_is_booked_once(lab: Lab) -> None:
    (verdict,) = lab.verdicts()
    assert verdict.balances, verdict
