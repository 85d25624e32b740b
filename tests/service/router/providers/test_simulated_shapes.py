"""Each shape of the simulator, read by both adapters: the answer is that of the plain one."""

import pytest

from headgate.chat.v1 import tool_pb2
from headgate.common.v1 import usage_pb2
from services.router.targets.provider import FailureKind, Provider
from simulator.shapes import SHAPES
from tests.service.router.providers.asking import Answer, answer, ask, request, user

TOOLS = [
    tool_pb2.Tool(
        name=name,
        parameters_json='{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}',
    )
    for name in ("weather", "clock")
]
FAILING = {"reason-error": FailureKind.INTERRUPTED}
# Of these nobody counts what it should.
UNCOUNTED = {"counts-of-zero"}


async def asked(provider: Provider, shape: str, prompt: str, *, streamed: bool) -> Answer:
    model = f"sim-small@shape={shape}" if shape else "sim-small"
    return await answer(ask(provider, request(user(prompt), tools=TOOLS), model=model, streamed=streamed))


@pytest.mark.parametrize("prompt", ["hello there", "call:weather and call:clock"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_shape_changes_nothing_of_what_is_said(
    provider: Provider, shape: str, prompt: str, streamed: bool
) -> None:
    plain = await asked(provider, "", prompt, streamed=streamed)
    got = await asked(provider, shape, prompt, streamed=streamed)
    if shape in FAILING:
        assert got.failure is not None
        assert got.failure.kind is FAILING[shape]
        return
    assert got.failure is None
    assert got.text() == plain.text()
    assert list(got.calls.values()) == list(plain.calls.values())
    if shape not in UNCOUNTED:
        assert got.usage == plain.usage
        assert got.usage is not None
        assert got.usage.source == usage_pb2.USAGE_SOURCE_PROVIDER
    if shape == "no-reason":
        assert {reason for reason, _ in got.finishes.values()} == {"FINISH_REASON_UNSPECIFIED"}
    else:
        assert {reason for reason, _ in got.finishes.values()} == {
            reason for reason, _ in plain.finishes.values()
        }
