"""Memory that is freed stays with the process, so that the next step does not fault it in anew."""

import platform
import subprocess
import sys

import pytest

STEPS = 50
MEASURE = f"""
import resource
from softvq.training.malloc import keep_freed_memory
{{keep}}
def step():
    [b"x" * 2**22 for _ in range(8)]  # 4 MB, as a large layer's gradient, of which a step has several
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({STEPS}):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / {STEPS})
"""


def page_faults_a_step(keep: str) -> float:
    ended = subprocess.run(
        [sys.executable, "-c", MEASURE.format(keep=keep)], capture_output=True, text=True, check=True
    )
    return float(ended.stdout)


@pytest.mark.process
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_kept_memory_is_not_faulted_in_again() -> None:
    assert page_faults_a_step("") > 100
    assert page_faults_a_step("keep_freed_memory()") < 5
