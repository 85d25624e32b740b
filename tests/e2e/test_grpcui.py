"""grpcui shows every process's services, fills in a form for every method, and calls it."""

from collections.abc import Iterator

import pytest

from tests.support.grpcui import Grpcui
from tests.support.rpc_calls import AT_ANY_TIME, CALLS
from tests.support.suite import RunningSuite

pytestmark = [pytest.mark.timeout(300), pytest.mark.parametrize("process", list(AT_ANY_TIME))]
HIDDEN = "grpc.reflection."
"""grpcui shows everything but what it asks itself."""


@pytest.fixture
def ui(suite: RunningSuite, process: str) -> Iterator[Grpcui]:
    with Grpcui.showing(suite.addresses.grpc[process]) as shown:
        yield shown


def test_every_service_is_on_the_page_and_every_method_has_a_form(ui: Grpcui, process: str) -> None:
    methods = [call.method for call in CALLS[process] if not call.method.startswith(HIDDEN)]
    for service, method in (method.split("/") for method in methods):
        assert f'"{service}"' in ui.page
        form = ui.form(f"{service}.{method}")
        assert form["requestType"] in form["messageTypes"], method


def test_a_method_is_called_with_a_token(ui: Grpcui, suite: RunningSuite, process: str) -> None:
    call = AT_ANY_TIME[process]
    token = suite.api_key if process == "router" else suite.internal_token
    result = ui.invoke(call.method.replace("/", "."), call.request, token)
    assert result["error"] is None
    (response,) = result["responses"]
    assert response["isError"] is False
    assert response["message"]


def test_a_refusal_is_shown_with_what_it_says(ui: Grpcui, process: str) -> None:
    call = AT_ANY_TIME[process]
    result = ui.invoke(call.method.replace("/", "."), call.request, "nobody's")
    assert result["error"]["name"] == "Unauthenticated"
    assert result["error"]["details"]
