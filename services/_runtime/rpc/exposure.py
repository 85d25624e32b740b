"""Whether a process may listen where its settings say: judged from them alone, before anything is opened."""

from collections.abc import Iterator

from services._runtime.address import is_loopback, split_host_port
from services._runtime.configuration.settings import LEAST_TOKEN_CHARACTERS, ProcessSettings, SharedSettings


def exposures(process: ProcessSettings, shared: SharedSettings, prefix: str, *, internal: bool) -> list[str]:
    """What would be open to somebody who should not enter, each with its setting and the remedy.

    `internal`: only the installation's own services may call this one.
    """
    found = [*listen_problems(process, prefix), *_metrics_problems(process, prefix)]
    if internal and shared.internal_token is None:
        found += _token_problems(process, shared)
    return found


def listen_problems(process: ProcessSettings, prefix: str) -> Iterator[str]:
    try:
        host, _ = split_host_port(process.listen)
    except ValueError as error:
        yield f"{prefix}LISTEN: {error}"
        return
    if (process.tls_cert_file is None) != (process.tls_key_file is None):
        yield f"{prefix}TLS_CERT_FILE and {prefix}TLS_KEY_FILE are set together or not at all"
    elif process.tls_client_ca_file is not None and process.tls_cert_file is None:
        yield f"{prefix}TLS_CLIENT_CA_FILE asks nobody for a certificate without {prefix}TLS_CERT_FILE: set both, or neither"
    elif process.tls_cert_file is None and not process.allow_insecure_listen and not is_loopback(host):
        yield (
            f"{prefix}LISTEN={process.listen} is open to other machines without TLS: set {prefix}TLS_CERT_FILE and "
            f"{prefix}TLS_KEY_FILE, or {prefix}ALLOW_INSECURE_LISTEN=true when something else protects it"
        )


def _metrics_problems(process: ProcessSettings, prefix: str) -> Iterator[str]:
    if not process.serves_metrics:
        return
    try:
        host, _ = split_host_port(process.metrics_listen)
    except ValueError as error:
        yield f"{prefix}METRICS_LISTEN: {error}"
        return
    if not process.allow_insecure_metrics and not is_loopback(host):
        yield (
            f"{prefix}METRICS_LISTEN={process.metrics_listen} is open to other machines, and metrics are served to whoever "
            f"asks: set {prefix}ALLOW_INSECURE_METRICS=true when something else protects them"
        )


def _token_problems(process: ProcessSettings, shared: SharedSettings) -> Iterator[str]:
    remedy = (
        "set it or HEADGATE_INTERNAL_TOKEN_FILE, the same for all services, to at least "
        f"{LEAST_TOKEN_CHARACTERS} characters, such as `openssl rand -hex 32` prints"
    )
    if not _is_for_this_machine(process.listen):
        yield f"HEADGATE_INTERNAL_TOKEN is not set, and whoever reaches {process.listen} would be let in: {remedy}"
    elif not shared.allow_no_internal_token:
        yield (
            f"HEADGATE_INTERNAL_TOKEN is not set, and every user of this machine would be let in: {remedy}; or set "
            "HEADGATE_ALLOW_NO_INTERNAL_TOKEN=true where nobody else uses it"
        )


def _is_for_this_machine(listen: str) -> bool:
    try:
        return is_loopback(split_host_port(listen)[0])
    except ValueError:
        return False
