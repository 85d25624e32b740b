"""Tries Headgate's adapter on model servers that nobody here wrote: `python -m scripts.real_servers --llama-cpp --litellm --transformers`.

Each server is installed into an environment of its own below `.venv/.real` (once; llama-cpp-python is compiled, which takes ten
minutes), serves a tiny model with random weights, or the simulator, and is asked whatever the adapter can ask. The table goes into
docs/providers.md.
"""

import argparse
import asyncio
import subprocess
import sys
from tempfile import TemporaryDirectory

from scripts.real_servers.checks import CHECKS, Trial
from scripts.real_servers.servers import SERVERS, TINY_MODEL, Server, installed, simulating, started
from services._runtime.telemetry.masking import Masking
from services.router.providers.registry import build
from services.router.targets.config import ProviderConfig


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in SERVERS:
        parser.add_argument(f"--{name}", action="store_true")
    asked = vars(parser.parse_args())
    chosen = [name for name in SERVERS if asked[name.replace("-", "_")]] or list(SERVERS)
    columns = {name: tried(name, SERVERS[name]) for name in chosen}
    print("| | " + " | ".join(f"{name} {version}" for name, (version, _) in columns.items()) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for check in CHECKS:
        print(
            f"| {check} | " + " | ".join(told[check].replace("|", "/") for _, told in columns.values()) + " |"
        )
    return 0


def tried(name: str, server: Server) -> tuple[str, dict[str, str]]:
    """Its version, and what each check came to."""
    python = installed(name, server)
    with TemporaryDirectory(prefix="headgate-real-") as folder, simulating(folder):
        if server.write:
            subprocess.run([python, TINY_MODEL, server.write, f"{folder}/model"], check=True)
        with started(server, python, folder) as url:
            version = subprocess.run(
                [
                    python,
                    "-c",
                    f"from importlib.metadata import version; print(version('{server.version_of}'))",
                ],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.strip()
            return version, asyncio.run(checked(server, url, server.model.format(folder=folder)))


async def checked(server: Server, url: str, model: str) -> dict[str, str]:
    config = ProviderConfig.model_validate({"api": "openai", "base_url": url, **server.declared})
    provider = build("real", config.declaration({}), Masking(()))
    trial = Trial(provider, model)
    told = {name: await check(trial) for name, check in CHECKS.items()}
    await provider.close()
    return told


if __name__ == "__main__":
    sys.exit(main())
