"""A whole installation as child processes: start, readiness, watch, and an orderly end."""

import fcntl
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from cli.errors import CommandError, ExitCode
from cli.installation import SERVICES, Addresses, Installation, write_private
from cli.suite import configuration, plans, ports, secret_files
from cli.suite.child import Child, ChildPlan
from cli.suite.signals import StopSignals
from services._runtime.private import FILE_MODE, narrow, private_file, private_folder

_READY_SECONDS = 60.0
_TELL_AFTER_SECONDS = 2.0
_POLL_SECONDS = 0.02
_LINE_SECONDS = 0.5
_DRAIN_MARGIN_SECONDS = 10.0
_DEFAULT_DRAIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SuiteOptions:
    """How a suite is to be started. `simulator` None: when no provider is configured."""

    data_dir: Path
    config: Path | None = None
    simulator: bool | None = None
    port_offset: int = 0
    free_ports: bool = False


class InterruptedStartError(CommandError):
    """A signal came before the suite was ready."""

    def __init__(self) -> None:
        super().__init__("stopped before the suite was ready", "", ExitCode.INTERRUPTED)


class Suite:
    """Use as a context: whatever happens inside, no process is left when it is over."""

    def __init__(
        self,
        options: SuiteOptions,
        environ: Mapping[str, str],
        signals: StopSignals,
        tell: Callable[[str], None] = lambda _what: None,
    ) -> None:
        self.installation = Installation(options.data_dir.absolute())
        self.children: dict[str, Child] = {}
        self.exit_codes: dict[str, int] = {}
        self._options = options
        self._environ = plans.inherited(environ)
        self._signals = signals
        self._tell = tell
        self._config = options.config
        self._listens = ports.choose(environ, offset=options.port_offset, free=options.free_ports)
        self._ending = ExitStack()
        self._served = Addresses({})
        self._ended_at: dict[str, float] = {}

    @property
    def with_simulator(self) -> bool:
        if self._options.simulator is not None:
            return self._options.simulator
        return self._config is None and not configuration.has_provider_key(self._environ)

    def __enter__(self) -> Self:
        try:
            self._claim_data_dir()
            ports.require_free(self._listens, with_simulator=self.with_simulator)
        except BaseException:
            self._ending.close()
            raise
        self._ending.callback(self.installation.forget_run)
        return self

    def __exit__(self, *_exception: object) -> None:
        try:
            self.stop()
        finally:
            self._ending.close()

    def start(self) -> Addresses:
        """Every service serves when this returns.

        :raises CommandError: one of them ended, or is not ready in time.
        """
        shared = self._shared_variables()
        peers = [self._service(name, shared) for name in plans.PEERS]
        if self.with_simulator:
            self._launch(plans.simulator_plan(self._listens))
        self._write_config(self._listens.simulator)
        for plan in peers:
            self._launch(plan)
        known = dict(self._listens.grpc)
        if not self._listens.all_known:
            self._await_addresses()
            known |= {name: self._address(name) for name in plans.PEERS}
            self._write_config(self._address("simulator") if self.with_simulator else "")
        router = self._service("router", shared)
        self._launch(replace(router, environ={**router.environ, **plans.peer_variables(known)}))
        self._await_addresses()
        self._served = self._addresses()
        self._await_serving(self._served)
        return self._publish()

    def check(self) -> None:
        """:raises CommandError: a child has ended by itself"""
        for child in self.children.values():
            if child.exit_code is not None:
                raise _ended(child)

    def revive(self, now: float, after_seconds: float) -> None:
        """Start children that have ended so long ago again, where they served before."""
        for name, child in list(self.children.items()):
            if child.exit_code is None:
                self._ended_at.pop(name, None)
            elif now - self._ended_at.setdefault(name, now) >= after_seconds:
                addresses = self._served
                where = addresses.simulator.removeprefix("http://") or ""
                self._launch(
                    plans.at_address(
                        child.plan, addresses.grpc.get(name, where), addresses.metrics.get(name, "")
                    )
                )
                self._ended_at.pop(name)
                self._publish()

    def stop(self) -> None:
        """In order, each with time to drain; another signal meanwhile ends them at once."""
        before = self._signals.count
        for names in plans.stopping_order(list(self.children)):
            group = [self.children[name] for name in names]
            for child in group:
                child.terminate()
            self._await_end(group, before)
            self.exit_codes |= {child.name: child.exit_code or 0 for child in group}
        self.children.clear()

    def _publish(self) -> Addresses:
        pids = {"up": os.getpid()} | {name: child.pid for name, child in self.children.items()}
        self._served = replace(self._served, pids=pids)
        self.installation.write_addresses(self._served)
        return self._served

    def _claim_data_dir(self) -> None:
        here = self.installation
        data_dir = here.data_dir
        folders = (data_dir, here.run, here.secrets, here.logs)
        for folder in folders:
            private_folder(folder)
        # All that an earlier release may have left open in them; what else a user keeps in the first is the user's.
        for path in (here.credentials_file, *(path for folder in folders[1:] for path in folder.glob("*"))):
            if not path.is_dir():
                narrow(path, FILE_MODE)
        lock = private_file(here.run / "up.lock", os.O_WRONLY | os.O_CREAT)
        self._ending.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"another `headgate up` uses {data_dir}", "Stop it, or name another folder with --data-dir"
            ) from None

    def _shared_variables(self) -> dict[str, str]:
        write_private(self.installation.token_file, secret_files.internal_token(self._environ))
        data_dir = self.installation.data_dir
        return {
            "HEADGATE_CONFIG": str(self._config_file.absolute()),
            "HEADGATE_DATA_DIR": str(data_dir),
            f"{plans.TOKEN}_FILE": str(self.installation.token_file),
        }

    @property
    def _config_file(self) -> Path:
        if self._config is not None and not self.with_simulator:
            return self._config
        return self.installation.run / "config.yaml"

    def _write_config(self, simulator: str) -> None:
        if self.with_simulator:
            text = configuration.for_simulator(self._config or configuration.demo_file(), simulator)
        elif self._config is None:
            text = configuration.for_provider_keys(self._environ)
        else:
            return
        write_private(self._config_file, text)

    def _service(self, name: str, shared: Mapping[str, str]) -> ChildPlan:
        plan = plans.service_plan(name, self._listens, self.installation.data_dir, shared, self._environ)
        files = secret_files.written(name, self._environ, self.installation.secrets)
        return replace(plan, environ={**plan.environ, **files})

    def _launch(self, plan: ChildPlan) -> None:
        log = self.installation.logs / f"{plan.name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        named = self._named() if plan.name == "router" else ()
        environ = plans.own_environment(plan.name, self._environ, named)
        self.children[plan.name] = Child(plan, environ, log)

    def _named(self) -> frozenset[str]:
        return configuration.named_variables(self._config_file.read_text(encoding="utf-8"))

    def _address(self, name: str) -> str:
        return self.children[name].address() or ""

    def _await_addresses(self) -> None:
        began, told = time.monotonic(), ""
        while waiting := [child for child in self.children.values() if child.address() is None]:
            self.check()
            if self._signals.count:
                raise InterruptedStartError
            passed = time.monotonic() - began
            if passed > _READY_SECONDS:
                raise CommandError(
                    f"not ready within {_READY_SECONDS:g} s: {_named(waiting)}", f"See {waiting[0].log}"
                )
            if passed > _TELL_AFTER_SECONDS and (names := _named(waiting)) != told:
                self._tell(f"waiting for {names} ...")
                told = names
            self._signals.pause(_POLL_SECONDS)

    def _await_serving(self, addresses: Addresses) -> None:
        # gRPC is imported once all children run: their start takes as long.
        from cli.suite.health import await_serving

        for name in SERVICES:
            await_serving(name, addresses.grpc[name], _READY_SECONDS)

    def _addresses(self) -> Addresses:
        metrics = {name: address for name in SERVICES if (address := self._metrics_address(name))}
        grpc = {name: self._address(name) for name in SERVICES}
        simulator = f"http://{self._address('simulator')}" if self.with_simulator else ""
        return Addresses(grpc, metrics, simulator)

    def _metrics_address(self, name: str) -> str:
        """As its log says, in a line that comes right after the port file, unless its log level leaves such lines out."""
        until = time.monotonic() + _LINE_SECONDS
        while (listening := self.children[name].logged("listening")) is None and time.monotonic() < until:
            self._signals.pause(_POLL_SECONDS)
        return str(listening["metrics_address"]) if listening is not None else ""

    def _await_end(self, group: list[Child], signals_before: int) -> None:
        deadline = time.monotonic() + self._drain_seconds(group) + _DRAIN_MARGIN_SECONDS
        while any(child.exit_code is None for child in group):
            if self._signals.count > signals_before or time.monotonic() > deadline:
                for child in group:
                    child.kill()
            self._signals.pause(_POLL_SECONDS)

    def _drain_seconds(self, group: list[Child]) -> float:
        names = [f"HEADGATE_{child.name.upper()}_DRAIN_SECONDS" for child in group]
        return max(float(self._environ.get(name) or _DEFAULT_DRAIN_SECONDS) for name in names)


def _named(waiting: list[Child]) -> str:
    """Who is waited for, and for whom they wait as far as their logs say so."""
    return ", ".join(
        f"{child.name} (which waits for {', '.join(said['peers'])})"
        if (said := child.logged("waiting for peers"))
        else child.name
        for child in waiting
    )


def _ended(child: Child) -> CommandError:
    said = child.last_words()
    return CommandError(
        f"{child.name} ended by itself with exit code {child.exit_code}" + (f": {said}" if said else ""),
        f"Its log is {child.log}",
    )
