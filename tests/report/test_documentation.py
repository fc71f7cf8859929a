"""The examples in the report's docstrings run."""

import doctest
from importlib import import_module

import pytest

MODULES = (
    "softvq.published",
    "softvq.report.read.fields",
    "softvq.report.read.run",
    "softvq.report.read.selection",
    "softvq.report.judge.experiments",
    "softvq.report.judge.statistics",
    "softvq.report.write.numbers",
)


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    found = doctest.testmod(import_module(module))
    assert found.attempted
    assert not found.failed
