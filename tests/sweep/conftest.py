"""The whole suite in the test's loop."""

from tests.service.router.conftest import start_router
from tests.service.router.providers.conftest import built

__all__ = ["built", "start_router"]
