"""Settings, the file's section, and the pepper: what can't work is refused by name."""

from decimal import Decimal
from pathlib import Path

import pytest

from services._runtime.configuration.config import ConfigError, read_section
from services._runtime.configuration.settings import SettingsError, read_settings
from services._runtime.process.run import run
from services._runtime.process.serving import EXIT_MISCONFIGURED
from services.billing.__main__ import compose
from services.billing.budgets import Budget, Period
from services.billing.config import BillingSection
from services.billing.pepper import keep_pepper
from services.billing.pricing import Source, Tier
from services.billing.settings import BillingSettings, single_process

PREFIX = "HEADGATE_BILLING_"
POSTGRES = "postgresql://user:hunter2@localhost/billing"


def settings(**variables: str) -> BillingSettings:
    environ = {PREFIX + name.upper(): value for name, value in variables.items()}
    return read_settings(BillingSettings, PREFIX, environ)


def section(tmp_path: Path, text: str) -> BillingSection:
    path = tmp_path / "headgate.yaml"
    path.write_text(text)
    return read_section(path, "billing", BillingSection)


def test_the_default_is_one_process_with_a_file_in_the_data_directory(tmp_path: Path) -> None:
    made = settings()
    assert made.sqlite_path(tmp_path) == tmp_path / "billing.db"
    assert (made.listen, made.metrics_listen) == ("127.0.0.1:50054", "127.0.0.1:9467")
    assert single_process(made) == "HEADGATE_BILLING_STORE=sqlite"
    assert settings(store="sqlite").sqlite_path(tmp_path) == tmp_path / "billing.db"
    assert settings(store="sqlite:////var/lib/x.db").sqlite_path(tmp_path) == Path("/var/lib/x.db")


def test_postgresql_may_have_several_processes_and_its_password_is_not_shown() -> None:
    made = settings(store=POSTGRES, key_pepper="0123456789abcdef")
    assert single_process(made) is None
    assert made.postgresql is not None
    assert made.postgresql.password == "hunter2"
    assert "hunter2" not in f"{made!r}{made.postgresql!r}"
    assert "0123456789abcdef" not in repr(made)


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"store": "mysql://user:hunter2@x/y"}, "HEADGATE_BILLING_STORE is not one of: sqlite"),
        ({"store": "nonsense"}, "HEADGATE_BILLING_STORE is not one of"),
        ({"store": "postgresql://localhost"}, "HEADGATE_BILLING_STORE is not one of"),
        ({"key_pepper": "short"}, "HEADGATE_BILLING_KEY_PEPPER is shorter than 16"),
        ({"unpriced_models": "free"}, "HEADGATE_BILLING_UNPRICED_MODELS"),
        ({"stor": "sqlite"}, "did you mean HEADGATE_BILLING_STORE"),
    ],
)
def test_what_can_not_work_is_refused_by_name(variables: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(**variables)
    assert problem in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({f"{PREFIX}WORKERS": "2"}, "HEADGATE_BILLING_STORE=sqlite"),
        ({f"{PREFIX}STORE": POSTGRES}, "HEADGATE_BILLING_KEY_PEPPER"),
    ],
)
def test_a_start_that_asks_for_the_impossible_names_the_variable(
    environ: dict[str, str], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    off = {f"{PREFIX}LISTEN": "127.0.0.1:0", "HEADGATE_DATA_DIR": str(tmp_path)}
    code = run("billing", BillingSettings, compose, single_process=single_process, environ={**off, **environ})
    assert code == EXIT_MISCONFIGURED
    assert name in capsys.readouterr().err


def test_the_pepper_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "billing.pepper"
    pepper = keep_pepper(path)
    assert keep_pepper(path) == pepper
    assert len(pepper) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["billing.pepper"]


def test_a_spoilt_pepper_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "billing.pepper"
    path.write_bytes(b"half")
    with pytest.raises(SettingsError, match="HEADGATE_BILLING_KEY_PEPPER"):
        keep_pepper(path)
    assert path.read_bytes() == b"half"


def test_the_file_declares_prices_in_usd_and_budgets(tmp_path: Path) -> None:
    read = section(
        tmp_path,
        """
billing:
  prices:
    - provider: house
      model: big
      organization: acme
      effective: 2026-11-01T00:00:00Z
      per_request: 0.000000001
      tiers:
        - {input: 0.15, output: 1.5, cache_read: 0}
        - {min_input_tokens: 1000, input: 1, output: 2}
  budgets:
    - {id: acme/day, organization: acme, user: alice, limit_usd: 12.5, period: day, alert_percents: [50, 100]}
""",
    )
    price = read.prices[0].price()
    assert price.tiers == (Tier(0, 150_000_000, 1_500_000_000, 0, None), Tier(1000, 10**9, 2 * 10**9))
    assert (price.request_nanos, price.organization_id, price.source) == (1, "acme", Source.FILE)
    assert price.effective_ns == 1_793_491_200 * 10**9
    assert price.price_id.startswith("file:house/big:")
    assert read.budgets[0].budget() == Budget(
        "acme/day",
        "acme",
        12_500_000_000,
        Period.DAY,
        "alice",
        "",
        False,
        (50, 100),
        Source.FILE,
    )
    assert read.budgets[0].limit_usd == Decimal("12.5")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("billing:\n  price: []\n", "headgate.yaml:2: billing.price: unknown key; did you mean `prices`?"),
        (
            "billing:\n  budgets:\n    - {id: A, organization: a, limit_usd: 1, period: day}\n",
            "billing.budgets.0.id",
        ),
        (
            "billing:\n  budgets:\n    - {id: a, organization: a, limit_usd: 1, period: week}\n",
            "budgets.0.period",
        ),
        (
            "billing:\n  prices:\n    - {provider: a, model: b, tiers: [{min_input_tokens: 1, input: 1, output: 1}]}\n",
            "the first one begins at 0",
        ),
        (
            "billing:\n  budgets:\n" + "    - {id: a, organization: a, limit_usd: 1, period: day}\n" * 2,
            "budgets of the same id: a",
        ),
    ],
)
def test_a_mistake_in_the_file_is_named_with_line_and_field(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        section(tmp_path, text)
    assert problem in str(refused.value)
