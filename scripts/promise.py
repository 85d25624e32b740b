"""The promise of the README, tried at random: `python scripts/promise.py --runs 2000 [--kills] [--seed 1]`.

Each run is a random configuration of limits and budgets, and random requests to a provider that counts and does what it likes
within what it was allowed; afterwards its books are judged (tests/promise). A run that is not true is told with its seed, and
`--runs 1 --seed N` repeats it.
"""

import argparse
import asyncio
import logging
import sys
import time
from pathlib import Path
from uuid import uuid4

import structlog

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.promise.trying import try_killed_runs, try_runs


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the next has the next one")
    parser.add_argument("--kills", action="store_true", help="kill the services at random while runs go on")
    parser.add_argument("--billing-store", default="", help="a PostgreSQL URL; absent: SQLite")
    parser.add_argument("--redis", default="", help="a Redis URL for limits and cache; absent: memory")
    asked = parser.parse_args()
    _be_quiet()
    environ: dict[str, str] = {}
    if asked.billing_store:
        environ |= {"HEADGATE_BILLING_STORE": asked.billing_store, "HEADGATE_BILLING_KEY_PEPPER": "k" * 32}
    if asked.redis:
        environ |= {"HEADGATE_RATELIMIT_STORE": asked.redis, "HEADGATE_CACHE_STORE": asked.redis}
    nonce = f"{uuid4().hex[:6]}." if environ else ""
    seeds = range(asked.seed, asked.seed + asked.runs)
    began = time.monotonic()
    trial = asyncio.run((try_killed_runs if asked.kills else try_runs)(seeds, environ, nonce))
    seconds = time.monotonic() - began
    print(f"{asked.runs} runs from seed {asked.seed} in {seconds:.0f} s, {asked.runs / seconds:.1f} a second")
    for line in trial.lines():
        print(line)
    return int(bool(trial.broken))


def _be_quiet() -> None:
    """What is refused and what fails is the subject here, and no news."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


if __name__ == "__main__":
    sys.exit(main())
