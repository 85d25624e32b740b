"""Which configuration file a suite runs on: the user's own, the simulator's, or one for the key that is set."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from cli.errors import CommandError, ExitCode

_SIMULATOR_ADDRESS = "127.0.0.1:8089"
_OPENAI = """\
    openai:
      api: openai
      base_url: {url}
      api_key: {{env: OPENAI_API_KEY}}
"""
_ANTHROPIC = """\
    anthropic:
      api: anthropic
      base_url: {url}
      api_key: {{env: ANTHROPIC_API_KEY}}
"""
_HEAD = """\
# Written by `headgate up`, because {reason}. Copy it, and start with --config to use your own.
"""
_PROVIDERS = (
    # variable of the key, its provider, variable of the address, address, variable of the model, model
    (
        "OPENAI_API_KEY",
        _OPENAI,
        "OPENAI_BASE_URL",
        "https://api.openai.com/v1",
        "OPENAI_MODEL",
        "gpt-4.1-mini",
    ),
    (
        "ANTHROPIC_API_KEY",
        _ANTHROPIC,
        "ANTHROPIC_BASE_URL",
        "https://api.anthropic.com",
        "ANTHROPIC_MODEL",
        "claude-haiku-4-5",
    ),
)


def demo_file() -> Path:
    """`config/demo.yaml`: beside this package in a wheel, at the top of the repository otherwise."""
    packaged = Path(__file__).parent.parent / "config" / "demo.yaml"
    return packaged if packaged.exists() else Path(__file__).parents[2] / "config" / "demo.yaml"


def has_provider_key(environ: Mapping[str, str]) -> bool:
    return any(environ.get(key) for key, *_ in _PROVIDERS)


def named_variables(text: str) -> frozenset[str]:
    """The variables that a configuration names as credentials, `{env: NAME}`."""
    import yaml  # here, for most commands start nothing

    try:
        return frozenset(_named(yaml.safe_load(text)))
    except yaml.YAMLError:  # the services say what is wrong with it, and where
        return frozenset()


def _named(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if list(node) == ["env"] and isinstance(node["env"], str):
            yield node["env"]
        for value in node.values():
            yield from _named(value)
    elif isinstance(node, list):
        for value in node:
            yield from _named(value)


def for_simulator(source: Path, simulator: str) -> str:
    """The file's text with the simulator where it really is."""
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"the configuration file can't be read: {error}", "", ExitCode.USAGE) from None
    head = _HEAD.format(reason=f"{source.name} names the simulator, which listens elsewhere now")
    return text if simulator == _SIMULATOR_ADDRESS else head + text.replace(_SIMULATOR_ADDRESS, simulator)


def for_provider_keys(environ: Mapping[str, str]) -> str:
    """A configuration with the providers whose keys are set."""
    providers, targets, models = [], [], []
    for key, provider, url_variable, url, model_variable, default_model in _PROVIDERS:
        if not environ.get(key):
            continue
        name, model = key.partition("_")[0].lower(), environ.get(model_variable) or default_model
        providers.append(provider.format(url=environ.get(url_variable) or url))
        targets.append(f"    {name}: {{provider: {name}, model: {model}}}\n")
        models.append(f"    {model}: {{targets: [{name}]}}\n")
    head = _HEAD.format(reason="a provider's key is set and no configuration was named")
    return (
        f"{head}router:\n  providers:\n{''.join(providers)}"
        f"  targets:\n{''.join(targets)}  models:\n{''.join(models)}"
    )
