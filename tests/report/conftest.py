"""What the tests of the report share."""

import pytest

from softvq.report.read.collection import collect
from softvq.report.read.departures import DefaultSettings
from softvq.report.write.results import results


@pytest.fixture(scope="session")
def defaults():
    return DefaultSettings()


@pytest.fixture
def read(tmp_path, defaults):
    """What the report says of all that lies in the test's folder."""
    return lambda **options: results(collect([tmp_path]), defaults, **options)
