"""Results that were changed after they were written are told from those that were not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softvq.seals import is_whole, sealed

METRICS: dict[str, Any] = {
    "config_hash": "0123456789abcdef",
    "steps": 20,
    "probes": {"clustering_accuracy": 0.28969359331476324, "clustering_nmi": 1e-17, "classification_accuracy": None},
    "hyperparameters": {"network.encoder.hidden": [16, 8]},
    "provenance": {"commit": "a", "data": {"name": "caf\N{LATIN SMALL LETTER E WITH ACUTE}"}},
    "time": {"fit_s": 2.5},
}


def written(content: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(sealed(content)))


numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.text(), st.none())
results = st.dictionaries(st.text(), st.one_of(numbers, st.lists(numbers), st.dictionaries(st.text(), numbers)))


@given(results)
def test_what_was_written_is_whole_when_it_is_read(content: dict[str, Any]) -> None:
    assert is_whole(written(content))


def test_where_and_when_it_was_written_does_not_count() -> None:
    found = written(METRICS)
    checksum = found["provenance"]["results_sha256"]
    assert written({**METRICS, "time": {"fit_s": 7}, "provenance": {}})["provenance"]["results_sha256"] == checksum
    found["provenance"]["commit"] = "b"
    assert is_whole(found)


def test_any_digit_that_is_changed_shows() -> None:
    whole = written(METRICS)
    text = json.dumps(whole)
    end = text.index('"provenance"')
    places = [place for place, character in enumerate(text[:end]) if character.isdigit()]
    assert len(places) > 30
    for place in places:
        changed = json.loads(f"{text[:place]}{9 - int(text[place])}{text[place + 1 :]}")
        assert not is_whole(changed) or changed == whole, text[: place + 1]  # the last digits round to one number


@pytest.mark.parametrize("content", [{}, {"probes": {}}, {"provenance": {"commit": "a"}}, {"provenance": None}])
def test_results_from_before_there_were_checksums_are_taken(content: dict[str, Any]) -> None:
    assert is_whole(content)
