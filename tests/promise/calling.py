"""One request of a plan, as its caller makes it, leaves it or waits for it."""

import asyncio
import time
from typing import Any

import grpc

from headgate.router.v1 import completion_pb2
from tests.promise.books import Asked
from tests.promise.plans import RequestPlan
from tests.support.rpc_errors import Refusal, read_refusal

_PATIENCE_SECONDS = 60.0


async def ask(router: Any, plan: RequestPlan, metadata: Any) -> Asked:
    await asyncio.sleep(plan.after_seconds)
    asked = Asked(plan, began=time.monotonic())
    method = router.StreamComplete if plan.streamed else router.Complete
    # A router that was killed is waited for; what it had in flight fails all the same.
    call: Any = method(
        plan.request, metadata=metadata, timeout=plan.deadline or _PATIENCE_SECONDS, wait_for_ready=True
    )
    reading = asyncio.ensure_future(_read(call, asked))
    if plan.leaves_after is not None:
        await asyncio.wait([reading], timeout=plan.leaves_after)
        asked.left = call.cancel()
    try:
        await reading
    except grpc.aio.AioRpcError as error:
        _note(error, asked)
    except asyncio.CancelledError:
        if not asked.left:
            raise
        asked.code = grpc.StatusCode.CANCELLED.name
    asked.known_by = asked.known_by or time.monotonic()
    return asked


async def _read(call: Any, asked: Asked) -> None:
    if not asked.plan.streamed:
        completion: completion_pb2.Completion = await call
        for choice in completion.choices:
            asked.text[choice.index] = "".join(part.text for part in choice.message.parts)
        asked.finished = completion.finished
        return
    async for event in call:
        asked.known_by = asked.known_by or time.monotonic()
        _take(event, asked)


def _take(event: completion_pb2.CompletionEvent, asked: Asked) -> None:
    if event.HasField("failed_over"):
        asked.text.clear()
    elif event.HasField("finished"):
        asked.finished = event.finished
    elif event.HasField("delta"):
        index = event.delta.choice_index
        asked.text[index] = asked.text.get(index, "") + event.delta.text


def _note(error: grpc.aio.AioRpcError, asked: Asked) -> None:
    asked.code = error.code().name
    if any(name == "grpc-status-details-bin" for name, _ in error.trailing_metadata() or ()):
        refusal = Refusal()
        read_refusal(error, refusal)
        asked.reason = refusal.reason
