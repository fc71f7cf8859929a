"""What `softvq evaluate` measured of a finished run: the files below its `evaluations`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softvq.bounded_files import printable, printable_values, read_json
from softvq.config.identity import DECIDE_NO_NUMBER, config_hash
from softvq.report.read.fields import DamagedRunError, flat, mapping_in, measured_values, need
from softvq.report.read.run import Evaluation
from softvq.seals import BROKEN, is_whole


def read_evaluations(run: Path, run_hash: str) -> tuple[list[Evaluation], list[str]]:
    """The evaluations in a run's folder, and what is wrong with files that should hold one.

    Args:
        run: the folder.
        run_hash: the run's config_hash; an evaluation of other weights is refused.
    """
    found, problems = [], []
    for path in sorted((run / "evaluations").glob("*.json")):
        name = f"evaluations/{printable(path.name)}"
        try:
            written = mapping_in(path, read_json) or {}
            content = printable_values(written)
            if need(content, "config_hash", str, name) != run_hash:
                raise DamagedRunError(f"{name}: config_hash is {content['config_hash']}, the run's is {run_hash}")
            evaluation = _evaluation(content, name)
            if not is_whole(written):
                raise DamagedRunError(f"{name}: {BROKEN}")
            found.append(evaluation)
        except DamagedRunError as error:
            problems.append(str(error))
    return found, problems


def _evaluation(content: Mapping[str, Any], name: str) -> Evaluation:
    protocol = need(content, "protocol", Mapping, name)
    settings = {key: value for key, value in protocol.items() if key not in DECIDE_NO_NUMBER}
    return Evaluation(
        file=name,
        protocol=need(protocol, "name", str, name),
        tap=need(protocol, "tap", str, name),
        data=need(content, "data", str, name),
        seed=need(protocol, "seed", int, name),
        settings_hash=config_hash(settings),
        values=measured_values(content, name),
        settings=flat(settings),
    )
