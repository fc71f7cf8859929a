"""What this process may use of its machine: all of it, or what its control groups leave, as in a container."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def cores() -> int:
    """Cores that this process may use: those it may run on, and no more than its CPU quota pays for."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [math.ceil(quota / period) for quota, period in _cpu_quotas() if quota > 0 and period > 0]
    return max(1, min([there, *limits]))


def memory() -> int:
    """Bytes of memory that this process may use."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    names = ("memory.max", "memory.limit_in_bytes")  # of version 2 and 1
    limits = [number for folder in _folders("memory") for name in names for number in _numbers(folder / name)]
    return min([there, *limits])


def _cpu_quotas() -> Iterator[list[int]]:
    """Quotas and the periods that they are for: in one file in version 2, in two in version 1."""
    for folder in _folders("cpu"):
        found = _numbers(folder / "cpu.max")
        found = found or [n for name in ("quota", "period") for n in _numbers(folder / f"cpu.cfs_{name}_us")]
        if len(found) == 2:
            yield found


def _numbers(file: Path) -> list[int]:
    """The whole numbers in a small file; empty if there is none or it says `max`."""
    try:
        return [int(word) for word in file.read_text().split()]
    except (OSError, ValueError):
        return []


def _folders(controller: str) -> list[Path]:
    """Where this process's limits may be: the folders of its own control groups and of all groups around them.

    In a container the groups' paths may be those of the host, of which only the top is to be seen.
    """
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:
        lines = []
    folders: dict[Path, None] = {}
    for line in lines:  # NUMBER:CONTROLLERS:PATH; version 2 names no controllers
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for top in [CGROUPS / name for name in {controller, controllers}] if controllers else [CGROUPS]:
            own = top / path.lstrip("/")
            folders |= dict.fromkeys([own, *(around for around in own.parents if around.is_relative_to(top))])
    return list(folders)
