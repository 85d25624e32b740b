"""How commands print: text for people, JSON for programs, both fine without a terminal."""

import json
import sys
from collections.abc import Iterable
from datetime import UTC
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.terminal import echo, harmless

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

# Nothing is folded where lines are searched or kept.
_WIDTH_WITHOUT_TERMINAL = 1000
_NANOS_DIGITS = 9
_LEAST_DECIMALS = 2


class PlainConsole(Console):
    """Prints every str as it reads, markup too, and harmless; what has a style is made by `styled`."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(harmless(text), **{**options, "markup": False})


def stdout() -> Console:
    return _console(sys.stdout.isatty(), stderr=False)


def stderr() -> Console:
    return _console(sys.stderr.isatty(), stderr=True)


def _console(is_terminal: bool, *, stderr: bool) -> Console:
    width = None if is_terminal else _WIDTH_WITHOUT_TERMINAL
    return PlainConsole(stderr=stderr, width=width, highlight=False, emoji=False, soft_wrap=False)


def styled(*parts: str | tuple[str, str]) -> Text:
    """Texts one after the other, some of them with a style such as `bold cyan`."""
    pairs = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((harmless(text), style) for text, style in pairs))


def table(*headings: str, title: str | None = None) -> Table:
    """A heading's first sign says what its column holds: `>` numbers, to the right; `=` what is never folded."""
    made = Table(
        box=box.SIMPLE_HEAD,
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for heading in headings:
        made.add_column(
            heading.lstrip(">="),
            justify="right" if heading.startswith(">") else "left",
            no_wrap=heading.startswith((">", "=")),
            overflow="fold",
        )
    return made


def as_json(message: Message) -> Any:
    return MessageToDict(message, preserving_proto_field_name=True)


def print_json(value: Any) -> None:
    echo(json.dumps(value, ensure_ascii=False))


def print_json_list(messages: Iterable[Message]) -> None:
    echo(json.dumps([as_json(message) for message in messages], ensure_ascii=False, indent=2))


def usd(nanos: int) -> str:
    """Nano-USD in dollars, exactly; at least cents."""
    sign = "-" if nanos < 0 else ""
    whole, fraction = divmod(abs(nanos), 10**_NANOS_DIGITS)
    decimals = f"{fraction:0{_NANOS_DIGITS}d}".rstrip("0").ljust(_LEAST_DECIMALS, "0")
    return f"{sign}${whole:,}.{decimals}"


def moment(timestamp: "Timestamp") -> str:
    """Local time to the second."""
    return timestamp.ToDatetime(UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def word(enum: Any, value: int) -> str:
    """`METRIC_TOTAL_TOKENS` of the enum Metric as `total tokens`."""
    name: str = enum.Name(value)
    prefix = "".join(f"_{letter}" if letter.isupper() else letter for letter in enum.DESCRIPTOR.name)
    return name.removeprefix(prefix.lstrip("_").upper() + "_").replace("_", " ").lower()
