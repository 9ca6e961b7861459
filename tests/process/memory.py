"""What Linux says of a process's memory."""

import re
from pathlib import Path


def resident(pid: int, line: str = "VmRSS") -> int:
    """Return its resident memory in bytes: VmRSS is now, VmHWM the most since it began, or since `forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{line}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def forget_peak(pid: int) -> None:
    """Let VmHWM begin again."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
