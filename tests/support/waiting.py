"""Waiting for what happens elsewhere: until it holds, and not for ever."""

import asyncio
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.01


async def until(condition: Callable[[], Any], what: str, poll_seconds: float = POLL_SECONDS) -> None:
    """Returns once the condition holds."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in another service
                await asyncio.sleep(poll_seconds)
    except TimeoutError:
        raise AssertionError(f"{what} did not come about") from None
