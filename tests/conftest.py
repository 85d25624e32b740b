"""Fixtures that every test may ask for, and what holds for all of them."""

import signal

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.support.grpc_aio",
    "tests.support.nothing_skipped",
    "tests.support.postgres_server",
    "tests.support.redis_server",
    "tests.support.suite",
]

# How long an example takes says something about the machine, not about the code.
settings.register_profile("headgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headgate")

# A shell's background job has it ignored, and processes that tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
