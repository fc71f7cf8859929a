"""SIGINT and SIGTERM, sent to real processes at every stage."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

PATIENCE_S = 60
pytestmark = pytest.mark.process

# Says `ready` where the signal is to come.
BUSY = "import hashlib; print('ready', flush=True); hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"  # runs no handlers
PROGRAMS = {
    "imports": "from softvq import stop; stop.listen(); print('ready', flush=True); import time; time.sleep(60)",
    "raised": """
import sys, time
from softvq import stop
stop.listen()
try:
    with stop.raised():
        print('ready', flush=True)
        time.sleep(60)
except stop.Stopped as stopped:
    print('closed', stopped)
    sys.exit(stopped.exit_code)
""",
    "noted": """
import sys, time
from softvq import stop
stop.listen()
step = 0
with stop.noted(lambda: f'cell at step {step} in folder'):
    print('ready', flush=True)
    while not stop.requested():
        step += 1
        time.sleep(0.001)
    print('saved', flush=True)
    sys.exit(128 + stop.requested())
""",
    "stubborn": """
import time
from softvq import stop
stop.listen()
with stop.noted(lambda: 'cell at step 7 in folder'):
    print('ready', flush=True)
    while not stop.requested():
        time.sleep(0.001)
    print('heard', flush=True)
    time.sleep(60)
""",
    "busy": f"from softvq import stop; stop.listen()\nwith stop.noted(lambda: 'cell at step 7 in folder'): {BUSY}",
    "outer": """
import sys, time
from softvq import stop
stop.listen()
try:
    with stop.raised():
        with stop.noted(str):
            print('ready', flush=True)
            while not stop.requested():
                time.sleep(0.001)
        print('went on')
except stop.Stopped as stopped:
    sys.exit(stopped.exit_code)
""",
    "leaving": """
import os, sys, time
from softvq import stop
stop.listen()
class Late:
    def __del__(self, say=os.write, wait=time.sleep):
        say(1, b'ready\\n')
        wait(1)
late = Late()
sys.exit(143)
""",
}


@contextmanager
def program(name: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAMS[name]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(("name", "said"), [("imports", ""), ("raised", "closed"), ("noted", "saved"), ("outer", "")])
def test_first_signal_ends_in_good_order(name: str, said: str, signum: int, code: int) -> None:
    with program(name) as process:
        process.send_signal(signum)
        returncode, out, err = ended(process)
    assert returncode == code
    assert out.startswith(said)
    assert "went on" not in out
    assert "Traceback" not in err
    assert len(err.splitlines()) == (name == "imports")


def test_signals_that_come_together_are_one() -> None:
    with program("noted") as process:
        for _ in range(20):
            os.kill(process.pid, signal.SIGTERM)
        returncode, out, err = ended(process)
    assert (returncode, out, err) == (143, "saved\n", "")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_finds_python_taking_itself_apart_does_not_change_the_status(signum: int) -> None:
    with program("leaving") as process:
        process.send_signal(signum)
        assert ended(process) == (143, "", "")


@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)])
@pytest.mark.parametrize("name", ["stubborn", "busy"])
def test_second_signal_ends_at_once_and_says_how_far_it_was(name: str, signals: Sequence[int]) -> None:
    with program(name) as process:
        process.send_signal(signals[0])
        time.sleep(0.5)
        assert process.poll() is None
        started = time.monotonic()
        process.send_signal(signals[1])
        returncode, _, err = ended(process)
    assert time.monotonic() - started < 5
    assert returncode == 128 + signals[1]
    assert err == "interrupted: cell at step 7 in folder; the same command goes on from there\n"
