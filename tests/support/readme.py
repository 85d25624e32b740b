"""The README's parts, for tests of what it promises."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def statements() -> list[str]:
    """What the `sh` blocks run, in order, without comments; lines that end in a backslash are joined."""
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [stripped for line in lines if (stripped := re.sub(r"\s+#\s.*$", "", line).strip())]


def links() -> list[str]:
    """Of files in the repository."""
    return [target for target in re.findall(r"\]\(([^)]+)\)", TEXT) if not target.startswith("http")]


def not_yet() -> frozenset[str]:
    """The RPCs (`package.Service/Method`) that are in the contracts and not in this version."""
    _, _, rest = TEXT.partition("\n## Not yet\n")
    return frozenset(re.findall(r"^- `(.+)`$", rest.partition("\n## ")[0], re.MULTILINE))
