"""Locks between real processes, and file systems that have none."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from softvq.locks import LockError, locked

HOLDER = """
import sys, time
from pathlib import Path
from softvq.locks import locked
with locked(Path(sys.argv[1]), "no way out", lambda: print("waiting", flush=True)):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
print("released", flush=True)
"""


def hold(path, seconds) -> subprocess.Popen:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(HOLDER), str(path), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.process
def test_a_second_process_waits_and_says_so_until_the_first_lets_go(tmp_path):
    first = hold(tmp_path / ".lock", 0.5)
    assert first.stdout.readline() == "held\n"
    second = hold(tmp_path / ".lock", 0)
    assert second.communicate(timeout=30)[0].split() == ["waiting", "held", "released"]
    assert first.poll() is not None
    assert first.communicate()[0] == "released\n"


@pytest.mark.process
def test_the_lock_of_a_killed_process_is_free(tmp_path):
    holder = hold(tmp_path / ".lock", 60)
    assert holder.stdout.readline() == "held\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    with locked(tmp_path / ".lock", "", lambda: pytest.fail("waited for a dead process")):
        pass


def test_a_lock_is_free_again_however_its_block_ends(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / ".lock", ""):
        raise KeyError("inside")
    with locked(tmp_path / ".lock", "", lambda: pytest.fail("still held")):
        pass
    assert (tmp_path / ".lock").is_file()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO])
def test_a_file_system_without_locks_is_said_at_once_with_the_way_out(tmp_path, monkeypatch, number):
    def flock(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    started = time.monotonic()
    with (
        pytest.raises(LockError, match=rf"\.lock cannot be locked: .*\({os.strerror(number)}\); set hydra\.run\.dir"),
        locked(tmp_path / ".lock", "set hydra.run.dir=PATH"),
    ):
        pytest.fail("held what cannot be held")
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("kind", ["folder", "link to itself", "below a file"])
def test_what_cannot_be_a_locks_file_is_said(tmp_path, kind):
    path = tmp_path / ".lock"
    if kind == "folder":
        path.mkdir()
    elif kind == "link to itself":
        path.symlink_to(path)
    else:
        (tmp_path / "file").touch()
        path = tmp_path / "file" / ".lock"
    with pytest.raises(LockError, match=r"cannot be locked: .*; go elsewhere"), locked(path, "go elsewhere"):
        pytest.fail("held what cannot be held")
