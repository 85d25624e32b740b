"""Fixtures that every test may ask for."""

pytest_plugins = ["tests.support.grpc_aio", "tests.support.redis_server"]
