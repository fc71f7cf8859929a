"""The cores that a process may use."""

import os
from pathlib import Path

import pytest

from softvq import machine


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Control groups as the kernel shows them, on a machine of eight cores."""
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(("limit", "cores"), [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1)])
def test_a_quota_bounds_the_cores(groups: Path, limit: str, cores: int) -> None:
    write(groups / "own", "0::/\n")
    write(groups / "cgroup" / "cpu.max", limit)
    assert machine.cores() == cores


@pytest.mark.parametrize("limit", ["max 100000", "", "nonsense", "1600000 100000"])
def test_no_quota_leaves_all_cores(groups: Path, limit: str) -> None:
    write(groups / "own", "0::/\n")
    write(groups / "cgroup" / "cpu.max", limit)
    assert machine.cores() == 8


def test_the_quota_of_a_group_around_ones_own_counts(groups: Path) -> None:
    write(groups / "own", "0::/user.slice/session.scope\n")
    write(groups / "cgroup" / "user.slice" / "session.scope" / "cpu.max", "max 100000")
    write(groups / "cgroup" / "user.slice" / "cpu.max", "300000 100000")
    assert machine.cores() == 3


@pytest.mark.parametrize(("quota", "cores"), [("400000", 4), ("-1", 8)])
def test_control_groups_of_version_1(groups: Path, quota: str, cores: int) -> None:
    write(groups / "own", "5:devices:/\n4:cpu,cpuacct:/docker/abc\n0::/\n")
    write(groups / "cgroup" / "cpu,cpuacct" / "cpu.cfs_quota_us", f"{quota}\n")
    write(groups / "cgroup" / "cpu,cpuacct" / "cpu.cfs_period_us", "100000\n")
    assert machine.cores() == cores


def test_without_control_groups_all_cores_count(groups: Path) -> None:
    assert machine.cores() == 8


def test_the_memory_of_a_container_counts(groups: Path) -> None:
    assert machine.memory() > 2**20
    write(groups / "own", "0::/\n")
    write(groups / "cgroup" / "memory.max", f"{2**20}\n")
    assert machine.memory() == 2**20


def test_no_limit_of_memory_leaves_all(groups: Path) -> None:
    all_of_it = machine.memory()
    write(groups / "own", "9:memory:/x\n0::/\n")
    write(groups / "cgroup" / "memory.max", "max\n")
    write(groups / "cgroup" / "memory" / "x" / "memory.limit_in_bytes", f"{2**63 - 4096}\n")
    assert machine.memory() == all_of_it
