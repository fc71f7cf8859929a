"""Results that tell whether they are still what was written: a checksum of the numbers stands among them.

A digit that a disk or a person has changed in a `metrics.json` leaves valid JSON, so that nothing else would show it.
Where and when something ran (`provenance`, which holds the checksum, and `time`) is not part of it: equal results have
equal checksums.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ABOUT = ("provenance", "time")  # what is said of a run beside its results
KEY = "results_sha256"  # in `provenance`
CURVE = "curve_sha256"  # in `provenance` as well: of the file of the training curve
BROKEN = "its numbers are not those that were written: their checksum does not match"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same content with its checksum in `provenance`."""
    return {**content, "provenance": {**content.get("provenance", {}), KEY: _checksum(content)}}


def is_whole(content: Mapping[str, Any]) -> bool:
    """Whether the results are those that were sealed; those of before there were checksums count as whole."""
    about = content.get("provenance")
    found = about.get(KEY) if isinstance(about, Mapping) else None
    return found is None or found == _checksum(content)


def with_curve(content: Mapping[str, Any], curve: Path) -> dict[str, Any]:
    """The same content with the checksum of its training curve's file, if there is one, in `provenance`."""
    if not curve.is_file():
        return dict(content)
    with curve.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {**content, "provenance": {**content.get("provenance", {}), CURVE: digest}}


def is_curve_of(content: Mapping[str, Any], curve: bytes) -> bool:
    """Whether a file's content is the training curve of these results; results without its checksum take any."""
    about = content.get("provenance")
    found = about.get(CURVE) if isinstance(about, Mapping) else None
    return found is None or found == hashlib.sha256(curve).hexdigest()


def _checksum(content: Mapping[str, Any]) -> str:
    results = {key: value for key, value in content.items() if key not in ABOUT}
    as_read = json.loads(json.dumps(results))  # tuples are lists, and all keys are text
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()
