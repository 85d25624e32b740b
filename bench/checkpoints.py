"""What it costs the router to note, once a second, what a stream has used so far: its record, made and written to the spool."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from structlog import get_logger

from bench.comparison import Tell
from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.common.v1 import caller_pb2
from headgate.router.v1 import completion_pb2
from services.router.accounts.refused import RefusedFiles
from services.router.accounts.settlement import Settlements
from services.router.accounts.spool import open_spool
from services.router.answers.leg import Leg
from services.router.targets.catalog import Target
from services.router.targets.provider import Chunk

STREAMS = 1_000
SECONDS = 20
_ROOM = 1 << 30


def microseconds(tell: Tell) -> float:
    """CPU for each stream and second, of `STREAMS` at once over `SECONDS`."""
    with TemporaryDirectory() as folder:
        spool, _ = open_spool(Path(folder), _ROOM)
        nobody: Any = None  # what is only noted is told to nobody
        settlements = Settlements(
            spool, nobody, RefusedFiles(Path(folder), _ROOM), get_logger(), lambda: None
        )
        legs = [_leg(number) for number in range(STREAMS)]
        for leg in legs:
            settlements.open(leg.attempt_id)
        started = time.process_time()
        for _ in range(SECONDS):
            for leg in legs:
                _note(settlements, leg)
        spent = (time.process_time() - started) / (STREAMS * SECONDS) * 1e6
    tell(f"a checkpoint costs {spent:.1f} us of CPU for each stream and second")
    return spent


def _leg(number: int) -> Leg:
    nobody: Any = None
    leg = Leg(f"cmpl_{number:024x}.1", Target("t", "sim", "sim", "m", nobody), 1, 100)
    leg.take(Chunk(output_pieces=50), 2)
    return leg


def _note(settlements: Settlements, leg: Leg) -> None:
    caller = caller_pb2.Caller(organization_id="acme", user_id="ada", key_id="k")
    request = completion_pb2.CompletionRequest(model="m")
    record = leg.record("c", caller, request, looked=False)
    settlements.checkpoint(
        billing.CaptureRequest(hold_id=leg.attempt_id, records=[record], from_checkpoint=True)
    )
