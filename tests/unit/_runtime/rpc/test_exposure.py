"""Of all combinations of address, TLS, token and choices, exactly the safe ones start."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from services._runtime.configuration.settings import ProcessSettings, Secret, SettingsError, SharedSettings
from services._runtime.rpc.exposure import exposures

PREFIX = "HEADGATE_BILLING_"
HERE = ("127.0.0.1:0", "localhost:0", "[::1]:0", "127.8.9.10:50054")
OPEN = ("0.0.0.0:0", "[::]:0", "10.1.2.3:50054", "billing.internal:50054", "[::ffff:127.0.0.1]:1")
GOOD, SHORT = "t" * 32, "t" * 31
BOOLEANS = (False, True)


@dataclass(frozen=True)
class Start:
    listen: str
    tls: bool
    token: str | None
    allow_no_token: bool
    allow_insecure_listen: bool
    metrics: str
    allow_insecure_metrics: bool
    internal: bool

    @property
    def is_safe(self) -> bool:
        """In the words of who runs it."""
        nobody_listens_in = self.listen in HERE or self.tls or self.allow_insecure_listen
        nobody_reads_metrics = self.metrics not in OPEN or self.allow_insecure_metrics
        nobody_walks_in = (
            not self.internal or self.token == GOOD or (self.allow_no_token and self.listen in HERE)
        )
        return self.token != SHORT and nobody_listens_in and nobody_reads_metrics and nobody_walks_in

    def problems(self) -> list[str]:
        pem = Path("a.pem") if self.tls else None
        process = ProcessSettings(
            listen=self.listen,
            tls_cert_file=pem,
            tls_key_file=pem,
            metrics_listen=self.metrics,
            allow_insecure_listen=self.allow_insecure_listen,
            allow_insecure_metrics=self.allow_insecure_metrics,
        )
        try:
            shared = SharedSettings(
                internal_token=None if self.token is None else Secret(self.token),
                allow_no_internal_token=self.allow_no_token,
            )
        except SettingsError as error:
            return list(error.problems)
        return exposures(process, shared, PREFIX, internal=self.internal)


MATRIX = [
    Start(*each)
    for each in product(
        (*HERE, *OPEN),
        BOOLEANS,
        (GOOD, SHORT, None),
        BOOLEANS,
        BOOLEANS,
        ("off", HERE[0], *OPEN[:2]),
        BOOLEANS,
        BOOLEANS,
    )
]


def test_exactly_the_safe_ones_start() -> None:
    wrong = [start for start in MATRIX if start.is_safe != (start.problems() == [])]
    assert wrong == []
    assert {start.is_safe for start in MATRIX} == {True, False}


def test_every_refusal_names_a_setting_and_what_to_do() -> None:
    for start in MATRIX:
        for problem in start.problems():
            assert problem.startswith("HEADGATE_")
            assert ": set " in problem or ": make " in problem


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"tls_cert_file": Path("a.pem")}, "TLS_KEY_FILE are set together or not at all"),
        ({"tls_client_ca_file": Path("a.pem")}, "TLS_CLIENT_CA_FILE asks nobody for a certificate"),
        ({"listen": "nonsense"}, "LISTEN: 'nonsense' is not host:port"),
        ({"metrics_listen": "nonsense"}, "METRICS_LISTEN: 'nonsense' is not host:port"),
    ],
)
def test_what_means_nothing_is_refused(settings: dict[str, object], says: str) -> None:
    process = ProcessSettings(**settings)  # type: ignore[arg-type]
    (problem,) = exposures(process, SharedSettings(internal_token=Secret(GOOD)), PREFIX, internal=True)
    assert says in problem


def test_all_that_is_open_is_told_at_once() -> None:
    process = ProcessSettings(listen="0.0.0.0:0", metrics_listen="0.0.0.0:0")
    found = exposures(process, SharedSettings(), PREFIX, internal=True)
    assert [problem.partition("=")[0].partition(" ")[0] for problem in found] == [
        "HEADGATE_BILLING_LISTEN",
        "HEADGATE_BILLING_METRICS_LISTEN",
        "HEADGATE_INTERNAL_TOKEN",
    ]
