"""`python -m simulator`: reads the command line, serves until SIGTERM or SIGINT."""

import argparse
import asyncio
import json
import signal
import sys

from simulator.exchange import Simulator
from simulator.ledger import DEFAULT_CAPACITY, Ledger
from simulator.models import Models
from simulator.server import serving


def main() -> None:
    arguments = _parser().parse_args()
    host, port = arguments.listen
    models = Models(arguments.model)
    simulator = Simulator(models, arguments.require_key, Ledger(arguments.ledger_capacity))
    asyncio.run(_serve(simulator, host, port))


async def _serve(simulator: Simulator, host: str, port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serving(simulator, host, port) as base_url:
        sys.stdout.write(
            json.dumps({"event": "ready", "address": base_url.removeprefix("http://"), "url": base_url})
            + "\n"
        )
        sys.stdout.flush()
        await stopped.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description="A stand-in model server.")
    parser.add_argument(
        "--listen", type=_address, default="127.0.0.1:8089", metavar="HOST:PORT", help="port 0: a free one"
    )
    parser.add_argument("--require-key", action="store_true", help="refuse requests without an API key")
    parser.add_argument(
        "--model", action="append", default=[], metavar="NAME", help="offer this model too (repeatable)"
    )
    parser.add_argument(
        "--ledger-capacity", type=int, default=DEFAULT_CAPACITY, metavar="N", help="records kept"
    )
    return parser


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


if __name__ == "__main__":
    main()
