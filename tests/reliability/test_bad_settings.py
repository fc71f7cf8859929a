"""Whatever is mistyped is answered with one line that names it and the way out, and leaves nothing behind."""

import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from bad_settings import EVALUATE, MISSING, TOGETHER, TYPED, VALUES
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from softvq.command import evaluate, train
from softvq.config.schema import SCHEMA
from softvq.config.settings import check_settings

SINGLE = [*VALUES, *MISSING, *TYPED, *TOGETHER]


def test_there_are_hundreds() -> None:
    assert len(SINGLE) + len(EVALUATE) >= 250
    assert len(set(SINGLE)) == len(SINGLE)


# Settings of Hydra's are looked at by the program alone, below.
@pytest.mark.parametrize(("typed", "answer"), [case for case in VALUES if not case[0].startswith("hydra.")])
def test_a_value_of_the_wrong_kind_is_named(typed: str, answer: str, compose_train: Callable[..., DictConfig]) -> None:
    config = compose_train("data=digits")
    parsed = OverridesParser.create().parse_override(typed)
    OmegaConf.update(config, parsed.key_or_group, parsed.value(), merge=False, force_add=True)
    with pytest.raises(ValueError, match=re.escape(answer)) as error:
        check_settings(config)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "answer"), SINGLE)
def test_training_refuses_it_in_one_line_and_leaves_nothing(
    typed: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(train.main, typed, answer, tmp_path, monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "answer"), EVALUATE)
def test_evaluation_refuses_it_in_one_line_and_leaves_nothing(
    typed: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(evaluate.main, typed, answer, tmp_path, monkeypatch, capsys)


def refused(
    main: Callable[[list[str]], Any],
    typed: str,
    answer: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("softvq.run.job.run_job", lambda config: pytest.fail(f"{typed} was accepted"))
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["softvq"])
    monkeypatch.delenv("SOFTVQ_DATA", raising=False)
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(typed, posix=False) if "'" in typed else typed.split(" ") if typed else [])
    assert stop.value.code in (1, 2)
    said = capsys.readouterr()
    (line,) = said.err.splitlines()[:1]
    assert line.startswith("error: ")
    assert answer in said.err
    assert all(other.startswith("  ") for other in said.err.splitlines()[1:])  # further faults, or what there is
    assert "Traceback" not in said.err
    assert not list(folder.iterdir())


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.one_of(st.none(), st.integers(-3, 3), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.text(min_size=1, max_size=3), st.integers(), max_size=2),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from([key for key in SCHEMA if "*" not in key and not key.startswith("hydra.")]), value=PLAIN)
@example(key="seed", value={"\r": 0})
def test_any_value_is_taken_or_refused_in_a_line_that_names_its_key(
    key: str, value: Any, compose_train: Callable[..., DictConfig]
) -> None:
    config = deepcopy(compose_train("data=digits"))
    try:
        OmegaConf.update(config, key, value, merge=False, force_add=True)
    except Exception:
        return  # no configuration can hold it
    with suppress(ValueError):
        check_settings(config)
        return
    with pytest.raises(ValueError, match=re.escape(key.split(".")[0])) as error:
        check_settings(config)
    for line in str(error.value).splitlines():
        assert re.search(r"must be|is missing|has no choice|has no effect here|needs images set aside", line)
