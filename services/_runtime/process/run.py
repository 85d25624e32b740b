"""A process's whole life, which is all that a service's `__main__` calls: settings, then one process or several."""

import os
from collections.abc import Awaitable, Callable, Mapping

import uvloop

from services._runtime.configuration.environment import MisconfiguredError
from services._runtime.configuration.settings import SharedSettings, read_settings, read_shared
from services._runtime.private import keep_to_owner
from services._runtime.process.serving import (
    EXIT_MISCONFIGURED,
    Application,
    Plan,
    S,
    announce,
    prefix_of,
    serve,
    tell_misconfigured,
)
from services._runtime.rpc.exposure import exposures
from services._runtime.rpc.server import StartError
from services._runtime.telemetry.logs import configure_logs
from services._runtime.telemetry.telemetry import Telemetry

__all__ = ["Application", "run"]


def run(
    service: str,
    settings_type: type[S],
    compose: Callable[[S, SharedSettings, Telemetry], Awaitable[Application]],
    *,
    single_process: Callable[[S], str | None] = lambda _settings: None,
    internal: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Serve until SIGTERM or SIGINT; the process's exit code.

    `single_process` names the setting (`HEADGATE_CACHE_STORE=memory`) that keeps state in one process, if one does:
    with several workers the start is then refused.
    `internal`: only the installation's own services may call this one, so it starts with their token alone.
    """
    keep_to_owner()
    configure_logs(service, "info")
    try:
        settings = read_settings(settings_type, prefix_of(service), environ)
        shared = read_shared(environ)
        if problems := exposures(settings, shared, prefix_of(service), internal=internal):
            raise StartError("\n".join(problems))  # noqa: TRY301 - told like every other misconfiguration
        plan = Plan(service, settings, shared, compose)
        if settings.port_file is not None:  # an earlier run's address would mislead whoever waits for ours
            settings.port_file.unlink(missing_ok=True)
        if settings.workers == 1:
            return uvloop.run(serve(plan, lambda addresses: announce(plan, addresses)))
        if (obstacle := single_process(settings)) is not None:
            raise StartError(  # noqa: TRY301 - told like every other misconfiguration
                f"{obstacle} keeps its state in one process: set {plan.prefix}WORKERS=1, or choose a shared store"
            )
        from services._runtime.process.workers import supervise  # noqa: PLC0415 - a single process needs no multiprocessing

        return supervise(plan)
    except (MisconfiguredError, StartError) as error:
        tell_misconfigured(error)
        return EXIT_MISCONFIGURED
