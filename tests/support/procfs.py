"""What the kernel tells of a process."""

import resource
from pathlib import Path


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
