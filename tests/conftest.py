"""Fixtures that every test may ask for."""

pytest_plugins = [
    "tests.support.grpc_aio",
    "tests.support.nothing_skipped",
    "tests.support.postgres_server",
    "tests.support.redis_server",
    "tests.support.suite",
]
