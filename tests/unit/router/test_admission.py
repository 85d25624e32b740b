"""How much is reserved and held for a request that asks for several answers, returned or not."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.cache.v1 import cache_service_pb2 as cache
from headgate.router.v1 import completion_pb2
from services.router.accounts.refused import RefusedFiles
from services.router.accounts.settlement import Settlements
from services.router.accounts.spool import open_spool
from services.router.admission import Admission, AdmissionPolicy
from services.router.holding import AnswerBytes
from services.router.run import Run
from services.router.targets.catalog import Catalog, Target
from services.router.targets.routing import make_plan, normalise
from tests.support.router_peers import (
    RecordingBilling,
    RecordingCache,
    RecordingLimits,
    ScriptedProvider,
    principal,
    reserving,
)

TARGET = Target(
    "t", "sim", "sim", "sim-t", ScriptedProvider([]), allowed_provider_options=frozenset({"best_of", "a"})
)
CATALOG = Catalog({"t": TARGET}, {"m": [TARGET]})


class AskedBilling(RecordingBilling):
    """Remembers what was to be held."""

    asked: billing.AuthorizeRequest

    async def authorize(self, request: billing.AuthorizeRequest) -> billing.AuthorizeResponse:
        self.asked = request
        return await super().authorize(request)


async def admitted(options: dict[str, Any], **fields: Any) -> tuple[Any, billing.AuthorizeRequest]:
    """What was reserved, and what was to be held."""
    request = completion_pb2.CompletionRequest(model="m", prompt="hi", **fields)
    if options:
        request.provider_options.update(options)
    request = normalise(request)
    limits, bank = RecordingLimits(), AskedBilling()
    policy = AdmissionPolicy(
        cache_scope=cache.CACHE_SCOPE_USER,
        expected_output_tokens=100,
        max_output_tokens=1000,
        on_peer_lost=lambda _peer: None,
    )
    run = Run(
        completion_id="c",
        request=request,
        principal=principal(has_hard_budget=True),
        plan=make_plan(request, CATALOG),
        streamed=True,
        is_cacheable=False,
        keeps_events=False,
        started_at=0.0,
        share=AnswerBytes(1024).share("k1"),
    )
    with tempfile.TemporaryDirectory() as folder:
        spool, _ = open_spool(Path(folder), 1_000_000)
        settlements = Settlements(spool, bank, RefusedFiles(Path(folder), 1_000_000), None, lambda: None)
        await Admission(reserving(limits), RecordingCache(), bank, settlements, policy).admit(run)
        spool.close()
    return limits.open["c"], bank.asked


@pytest.mark.parametrize(
    ("options", "fields", "reserved", "held"),
    [
        ({}, {}, 100, 1000),
        ({}, {"max_output_tokens": 10, "choice_count": 3}, 30, 30),
        ({"best_of": 8}, {}, 800, 8000),
        ({"best_of": 8}, {"max_output_tokens": 10, "choice_count": 3}, 80, 80),
    ],
)
async def test_every_answer_that_is_generated_is_reserved_and_held_for(
    options: dict[str, Any], fields: dict[str, Any], reserved: int, held: int
) -> None:
    amounts, hold = await admitted(options, **fields)
    assert (amounts.output_tokens, hold.max_output_tokens) == (reserved, held)


async def test_what_options_say_counts_as_input() -> None:
    plain, _ = await admitted({})
    amounts, hold = await admitted({"a": "x" * 4000})
    assert amounts.input_tokens == hold.input_tokens
    # At the most: a token for each byte.
    assert 4000 <= amounts.input_tokens - plain.input_tokens < 4020
