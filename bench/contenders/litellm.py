"""LiteLLM's proxy from PyPI in a virtual environment of its own, with its Redis cache and limits on."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from bench.contenders.contender import AbsentError, Contender, Place, Running
from bench.contenders.headgate_config import SHAPES
from bench.contenders.http_start import await_http
from bench.generator.window import Target
from bench.processes import running
from bench.servers import RedisServer, free_port
from bench.upstream_answers import model_name

REQUIREMENT = "litellm[proxy]==1.106.2"
_START_SECONDS = 90.0
# Without a database it has no keys of its own, so that this gives each request a key with limits: four counters.
_AUTHENTICATION = """\
from litellm.proxy._types import UserAPIKeyAuth


async def user_api_key_auth(request, api_key):
    limits = {"rpm_limit": 10**9, "tpm_limit": 10**12, "user_rpm_limit": 10**9, "user_tpm_limit": 10**12}
    return UserAPIKeyAuth(api_key=api_key, user_id="bench", **limits)
"""


@contextmanager
def _running(place: Place) -> Iterator[Running]:
    program, port, log = _installed(), free_port(), place.folder / "litellm.log"
    with RedisServer.running(place.folder) as redis:
        config = place.folder / "litellm.yaml"
        config.write_text(_config(place.upstream, redis.port), encoding="utf-8")
        (place.folder / "bench_auth.py").write_text(_AUTHENTICATION, encoding="utf-8")
        command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        environ = {
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
        }
        with running(command, log, environ) as process:
            await_http(f"http://127.0.0.1:{port}/health/liveliness", process, _START_SECONDS)
            target = Target("openai", f"127.0.0.1:{port}", "/v1/chat/completions", keys=("sk-bench",))
            yield Running("litellm", target, {"proxy": process.pid, "redis": redis.pid}, counted_as="litellm")


def _config(upstream: str, redis_port: int) -> str:
    models = [model_name(*shape) for shape in SHAPES]
    base = f"http://{upstream}/litellm/v1"
    return yaml.safe_dump(
        {
            "model_list": [
                {
                    "model_name": model,
                    "litellm_params": {"model": f"openai/{model}", "api_base": base, "api_key": "none"},
                }
                for model in models
            ],
            "litellm_settings": {
                "cache": True,
                "cache_params": {"type": "redis", "host": "127.0.0.1", "port": redis_port},
            },
            # It refuses to start without a master key of some strength, which nobody uses here.
            "general_settings": {
                "master_key": f"sk-{secrets.token_urlsafe(32)}",
                "custom_auth": "bench_auth.user_api_key_auth",
            },
        }
    )


def environment() -> Path:
    return Path(__file__).parents[1] / "out" / "peers" / "litellm"


def install() -> None:
    """Once; into bench/out, with the interpreter that Headgate runs on."""
    if not (environment() / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment())], check=True)
        pip = [
            str(environment() / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
        ]
        subprocess.run([*pip, REQUIREMENT], check=True)


def _installed() -> Path:
    program = environment() / "bin" / "litellm"
    if not program.exists():
        raise AbsentError("not installed: `python -m bench install-peers`")
    return program


LITELLM = Contender("litellm", _running)
