"""A provider that means harm: what it says reaches nobody but the operator's log, and no number of its hurts."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from headgate.chat.v1 import tool_pb2
from headgate.router.v1 import completion_pb2, router_service_pb2
from tests.service.router.conftest import StartRouter
from tests.support import hostile_provider as hostile
from tests.support.in_process import InProcessSuite
from tests.support.raw_http import answering

TOOL = tool_pb2.Tool(name="f", description="d", parameters_json="{}")


@dataclass
class Told:
    """All that callers and the ledger were told."""

    texts: list[str] = field(default_factory=list)
    failures: list[grpc.RpcError] = field(default_factory=list)

    def add(self, said: object) -> None:
        self.texts.append(str(said))

    def fail(self, error: grpc.aio.AioRpcError) -> None:
        self.failures.append(error)
        self.add(error.details())
        self.add(error.trailing_metadata())


def section(api: str, url: str, count: int, *, rescued: bool) -> dict[str, Any]:
    """A target for each answer, and after it, when it is to be `rescued`, one that answers well."""
    targets: dict[str, Any] = {
        f"t{case}": {"provider": "bad", "model": f"case-{case}"} for case in range(count)
    }
    rescue = {"good": {"provider": "sim", "model": "sim-small@tokens=2"}}
    return {
        "providers": {
            "bad": {"api": api, "base_url": url, "api_key": {"env": "BAD_KEY"}},
            "sim": {"api": "openai", "base_url": "simulator:/v1"},
        },
        "targets": {**targets, **rescue},
        "models": {name: {"targets": [name, "good"] if rescued else [name]} for name in targets},
    }


@asynccontextmanager
async def serving(
    start_router: StartRouter, api: str, answers: list[bytes], *, rescued: bool = False
) -> AsyncIterator[InProcessSuite]:
    def answer(request: bytes) -> tuple[bytes]:
        body = request.partition(b"\r\n\r\n")[2]
        return (answers[int(json.loads(body)["model"].removeprefix("case-"))] if body else b"",)

    async with answering(answer) as (url, _):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BAD_KEY", hostile.KEY)
            async with start_router(section(api, url, len(answers), rescued=rescued)) as suite:
                yield suite


async def ask(suite: InProcessSuite, case: int, told: Told, *, streamed: bool) -> None:
    request = completion_pb2.CompletionRequest(
        model=f"t{case}", prompt="hi", max_output_tokens=50, tools=[TOOL]
    )
    try:
        if streamed:
            async for event in suite.router.StreamComplete(request, metadata=suite.metadata):
                told.add(event)
        else:
            told.add(await suite.router.Complete(request, metadata=suite.metadata))
    except grpc.aio.AioRpcError as error:
        told.fail(error)


async def everything_told(suite: InProcessSuite, count: int, *, streamed: bool) -> Told:
    told = Told()
    for case in range(count):
        await ask(suite, case, told, streamed=streamed)
    listed = await suite.router.ListTargets(router_service_pb2.ListTargetsRequest(), metadata=suite.metadata)
    told.add(listed)
    for entry in await suite.entries():
        told.add(entry)
    return told


def plants_in(text: str) -> set[str]:
    """An escape also where it is shown escaped: whoever unescapes the text would have it again."""
    found = {name for name, plant in hostile.PLANTED.items() if plant in text}
    return found | {"escape" for shown in ("\x1b", "\\x1b", "\\033", "\\u001b") if shown in text}


@pytest.fixture(params=["openai", "anthropic"])
def api(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def streamed(request: pytest.FixtureRequest) -> bool:
    chosen: bool = request.param
    return chosen


def answers_with(api: str, leaf: Callable[[Any], bool], number: bytes, *, streamed: bool) -> list[bytes]:
    """The API's answer, once for each leaf that is wanted, with `number` in its place."""
    answer = hostile.OPENAI if api == "openai" else hostile.ANTHROPIC
    made = []
    for path in hostile.leaves(answer):
        if leaf(path):
            changed = hostile.with_leaf(answer, path, "\x00")
            body = json.dumps(changed).encode().replace(b'"\\u0000"', number)
            if not streamed:
                made.append(hostile.whole(body))
            elif api == "openai":
                made.append(hostile.openai_stream(body))
            else:
                made.append(hostile.anthropic_stream(changed, number))
    return made


def is_the_models(path: tuple[Any, ...]) -> bool:
    return bool(hostile.SAID_BY_THE_MODEL & set(path[-1:])) or "input" in path


async def test_what_a_failing_provider_says_is_in_the_log_alone_and_without_the_key(
    start_router: StartRouter, api: str, streamed: bool
) -> None:
    answers = [*hostile.refusals(), *hostile.broken()]
    with capture_logs() as log:
        async with serving(start_router, api, answers) as suite:
            told = await everything_told(suite, len(answers), streamed=streamed)
    assert len(told.failures) > len(answers) * 0.9
    assert {error.code() for error in told.failures} <= {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INVALID_ARGUMENT,
    }
    assert {plant for text in told.texts for plant in plants_in(text)} == set()
    said = [line["said"] for line in log if line["event"] == "a target failed"]
    assert len(said) == len(told.failures)
    assert sum(hostile.HOST in line for line in said) > len(answers) / 2
    for line in said:
        assert "\x1b" not in line
        assert not plants_in(line) & {"key", "base64", "all but four"}


async def test_what_a_provider_says_beside_its_answer_is_told_to_nobody(
    start_router: StartRouter, api: str, streamed: bool
) -> None:
    planted = json.dumps(hostile.EVERYTHING).encode()
    answers = answers_with(api, lambda path: not is_the_models(path), planted, streamed=streamed)
    for name in ("key", "base64", "all but four"):
        plain = json.dumps(hostile.PLANTED[name]).encode()
        answers += answers_with(api, lambda path: not is_the_models(path), plain, streamed=streamed)
    async with serving(start_router, api, answers) as suite:
        told = await everything_told(suite, len(answers), streamed=streamed)
    assert len(told.failures) < len(answers)
    assert {plant for text in told.texts for plant in plants_in(text)} == set()


async def test_any_number_anywhere_gives_an_answer(
    start_router: StartRouter, api: str, streamed: bool
) -> None:
    answers = [
        answer
        for number in hostile.NUMBERS
        for answer in answers_with(api, lambda _: True, number.encode(), streamed=streamed)
    ]
    async with serving(start_router, api, answers, rescued=True) as suite:
        told = await everything_told(suite, len(answers), streamed=streamed)
        assert suite.holds().keys() <= {"captured", "voided"}
    assert told.failures == []
