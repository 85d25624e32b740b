"""ghz, the load tester that people reach for, calls every process with nothing but an address, a method and a token."""

import json
import subprocess

import pytest

from tests.support.programs import require_binary
from tests.support.rpc_calls import AT_ANY_TIME
from tests.support.suite import RunningSuite

pytestmark = pytest.mark.timeout(300)
REQUESTS = 20


@pytest.mark.parametrize("method_of", ["{}/{}", "{}.{}"], ids=["slash", "dot"])
@pytest.mark.parametrize("process", list(AT_ANY_TIME))
def test_every_call_is_answered(suite: RunningSuite, process: str, method_of: str) -> None:
    call = AT_ANY_TIME[process]
    method = method_of.format(*call.method.split("/"))
    token = suite.api_key if process == "router" else suite.internal_token
    command = [
        *(require_binary("ghz"), "--insecure", "--call", method, "--data", json.dumps(call.request)),
        *("--metadata", json.dumps({"authorization": f"Bearer {token}"})),
        *("--total", str(REQUESTS), "--concurrency", "2", "--format", "json"),
        suite.addresses.grpc[process],
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["statusCodeDistribution"] == {"OK": REQUESTS}, report.get("errorDistribution")
