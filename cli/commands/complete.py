"""`headgate complete`: one completion, printed while it is produced."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from cli.options import DEFAULT_DATA_DIR, DataDir, Json, Router, peer


class CacheChoice(StrEnum):
    """Words for CacheMode."""

    ON = "on"
    OFF = "off"
    REFRESH = "refresh"


def complete(
    prompt: Annotated[str, typer.Argument(help="What to ask; `-` reads it from standard input.")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="A model or alias; default: the first of `headgate models`."),
    ] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="Instructions for the model.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", help="The longest answer, in tokens.")
    ] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", "-t", help="0 to 2.")] = None,
    cache: Annotated[
        CacheChoice | None,
        typer.Option("--cache", help="Take an earlier answer; ask anew; or ask anew and keep it."),
    ] = None,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Wait for the whole answer.")] = False,
    json_events: Json = False,
    timeout_seconds: Annotated[
        float | None, typer.Option("--timeout", min=0.001, help="Seconds until the request is given up.")
    ] = None,
    router: Router = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Ask a model. The answer goes to standard output, what it took to standard error."""
    text = sys.stdin.read() if prompt == "-" else prompt
    from cli.completions import build_request, first_model, print_stream, print_whole

    with peer("router", router, data_dir) as asked:
        request = build_request(
            text,
            model or first_model(asked),
            system=system,
            max_tokens=max_tokens,
            temperature=temperature,
            cache=cache.value if cache else None,
        )
        show = print_whole if no_stream else print_stream
        show(asked, request, as_json=json_events, timeout_seconds=timeout_seconds)
