"""What streams have used so far, told to the spool again and again: a router that is killed books what it had served."""

import asyncio
from collections.abc import Callable, Iterable

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import usage_pb2 as billing_usage
from headgate.common.v1 import outcome_pb2
from services.router.accounts.settlement import Settlements
from services.router.run import Run

EVERY_SECONDS = 1.0


def records_of(run: Run) -> list[billing_usage.UsageRecord]:
    """The attempts so far, each with what it used."""
    return [
        leg.record(run.completion_id, run.principal.caller, run.request, looked=run.is_cacheable)
        for leg in run.legs
    ]


class Checkpoints:
    """One ticker for the whole process; a request that is over between two ticks pays nothing."""

    def __init__(
        self, settlements: Settlements, running: Callable[[], Iterable[Run]], epoch_ns: Callable[[], int]
    ) -> None:
        self._settlements = settlements
        self._running = running
        self._epoch_ns = epoch_ns
        self._ticker: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._ticker = asyncio.get_running_loop().create_task(self._take_for_ever())

    async def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()

    def take(self) -> None:
        """Of every stream that produced or was told something since it was last looked at."""
        for run in self._running():
            progress = sum(leg.progress for leg in run.legs)
            if run.streamed and run.hold_ids and progress > run.checkpointed_progress:
                run.checkpointed_progress = progress
                self._settlements.checkpoint(self._capture(run))

    async def _take_for_ever(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            self.take()

    def _capture(self, run: Run) -> billing.CaptureRequest:
        """As if the stream ended now, with the router."""
        records = records_of(run)
        if not records[-1].outcome:
            records[-1].outcome = outcome_pb2.OUTCOME_ABORTED
            records[-1].end_time.FromNanoseconds(self._epoch_ns())
        return billing.CaptureRequest(hold_id=run.hold_ids[0], records=records, from_checkpoint=True)
