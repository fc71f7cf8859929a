"""What `softvq evaluate` measured of a finished run: the files below its `evaluations`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softvq.bounded_files import printable, printable_values, read_json
from softvq.config.identity import DECIDE_NO_NUMBER, config_hash
from softvq.report.read.fields import flat, measured_values
from softvq.report.read.run import Evaluation
from softvq.run.fields import mapping_in, need
from softvq.run_folder import DamagedFileError, RunFolder
from softvq.seals import BROKEN, is_whole


def read_evaluations(files: RunFolder, run_hash: str) -> tuple[list[Evaluation], list[str]]:
    """The evaluations in a run's folder, and what is wrong with files that should hold one.

    Args:
        files: of the run.
        run_hash: the run's config_hash; an evaluation of other weights is refused.
    """
    found, problems = [], []
    for path in sorted(files.evaluations.glob("*.json")):
        try:
            written = mapping_in(path, read_json) or {}
            content = printable_values(written)
            if need(content, "config_hash", str, path) != run_hash:
                raise DamagedFileError(path, f"its config_hash is {content['config_hash']}, the run's is {run_hash}")
            evaluation = _evaluation(content, path)
            if not is_whole(written):
                raise DamagedFileError(path, BROKEN)
            found.append(evaluation)
        except DamagedFileError as error:
            problems.append(f"{_name(path)}: {error.reason}")
    return found, problems


def _evaluation(content: Mapping[str, Any], path: Path) -> Evaluation:
    protocol = need(content, "protocol", Mapping, path)
    settings = {key: value for key, value in protocol.items() if key not in DECIDE_NO_NUMBER}
    return Evaluation(
        file=_name(path),
        protocol=need(protocol, "name", str, path, "protocol."),
        tap=need(protocol, "tap", str, path, "protocol."),
        data=need(content, "data", str, path),
        seed=need(protocol, "seed", int, path, "protocol."),
        settings_hash=config_hash(settings),
        values=measured_values(content, path),
        settings=flat(settings),
    )


def _name(path: Path) -> str:
    return f"evaluations/{printable(path.name)}"
