"""What the configuration may say of the way to a provider: no credential leaves this machine in clear unless it is said so."""

from itertools import product
from pathlib import Path

import pytest

from services._runtime.configuration.config import ConfigError, read_section
from services.router.targets.config import ProviderConfig, RouterConfig

HERE = ("127.0.0.1:8000", "localhost:8000", "[::1]:8000")
ELSEWHERE = ("vllm.internal:8000", "10.0.0.7:8000", "api.openai.com")
KEY, LOGIN = {"env": "KEY"}, {"env": "LOGIN"}


def accepts(**fields: object) -> bool:
    try:
        ProviderConfig.model_validate({"api": "openai", **fields})
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("scheme", "host", "key", "allowed"),
    [*product(("http", "https"), (*HERE, *ELSEWHERE), (KEY, None), (True, False))],
)
def test_an_api_key_leaves_this_machine_over_tls_or_by_choice(
    scheme: str, host: str, key: object, allowed: bool
) -> None:
    is_safe = scheme == "https" or host in HERE or key is None or allowed
    assert accepts(base_url=f"{scheme}://{host}/v1", api_key=key, allow_insecure=allowed) == is_safe


@pytest.mark.parametrize(
    ("scheme", "proxy", "key", "login", "allowed"),
    [
        *product(
            ("http", "https"),
            ("http://127.0.0.1:3128", "http://proxy.internal:3128"),
            (KEY, None),
            (LOGIN, None),
            (True, False),
        )
    ],
)
def test_a_proxy_reads_neither_the_key_nor_is_its_login_read(
    scheme: str, proxy: str, key: object, login: object, allowed: bool
) -> None:
    key_is_safe = key is None or scheme == "https" or proxy == "http://127.0.0.1:3128"
    login_is_safe = login is None or proxy != "http://proxy.internal:3128"
    assert accepts(
        base_url=f"{scheme}://127.0.0.1:8000",
        api_key=key,
        proxy=proxy,
        proxy_login=login,
        allow_insecure=allowed,
    ) == ((key_is_safe and login_is_safe) or allowed)


def test_a_refusal_names_the_line_the_field_and_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "headgate.yaml"
    file.write_text(
        "router:\n  providers:\n    vllm:\n      api: openai\n"
        "      base_url: http://vllm.internal:8000/v1\n      api_key: {env: KEY}\n"
    )
    with pytest.raises(
        ConfigError, match=r"headgate\.yaml:3: router\.providers\.vllm: base_url: .*allow_insecure: true"
    ):
        read_section(file, "router", RouterConfig)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"proxy": "http://ann:secret@proxy.internal"}, "its login is named, never written"),
        ({"base_url": "https://ann:secret@a.example"}, "base_url: a credential is named, never written"),
        ({"proxy": "socks5://proxy.internal"}, "should match pattern"),
        ({"proxy_login": LOGIN}, "there is no proxy that it could be for"),
        ({"proxy": "http://proxy.internal", "proxy_login": "ann:secret"}, "a credential is named"),
    ],
)
def test_addresses_are_written_and_credentials_are_named(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ProviderConfig.model_validate({"api": "openai", "base_url": "https://a.example", **fields})
