"""Tracking with Weights & Biases: online where there are a login and a network, else as a run folder to sync later."""

import hashlib
import os
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb
from omegaconf import OmegaConf

from softvq.config.identity import config_hash
from softvq.console import screen
from softvq.run_folder import RunFolder
from softvq.tracking.curve import read_curve
from softvq.tracking.tracker import Tracker, figures, results

REACH_S = 3.0  # for the server to answer at all
INIT_S = 30.0  # for it to open a run
FINISH_S = 120.0  # for it to take what is left at the end


def tracker(folder: RunFolder, project: str, entity: str | None, tags: Sequence[str]) -> Tracker | None:
    """An online run if it can be had without asking or waiting, else an offline one; none if W&B is disabled.

    Args:
        folder: of the run.
        project: W&B's project.
        entity: W&B's user or team; None for the login's own.
        tags: of the run.
    """
    settings = _global_settings()
    if settings.mode == "disabled":
        return None
    about = _about(folder, project, entity, tags)
    reason = why_offline(settings)
    if reason is None:
        try:
            return OnlineTracker(folder, about)
        except Exception as error:  # whatever W&B raises, the run goes on without its server
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            wandb.teardown()  # else W&B takes the run's id to be in use
    screen.print(f"wandb: offline ({reason}); the run is put into {folder.path / 'wandb'} at its end")
    return OfflineTracker(about)


def _global_settings() -> wandb.Settings:
    """W&B's settings of this process, which reads them from its environment and files.

    Raises:
        Exception: whatever W&B raises where they make no sense.
    """
    try:
        return wandb.setup(wandb.Settings(silent=True)).settings
    except Exception:
        # The variable names a background process of W&B, which may have ended since; without it W&B starts another.
        if os.environ.pop("WANDB_SERVICE", None) is None:
            raise
        return wandb.setup(wandb.Settings(silent=True)).settings


def run_id(experiment: str, folder: RunFolder, settings_hash: str) -> str:
    """The same for every session of a run: a function of its experiment, folder name and configuration."""
    return hashlib.sha256(f"{experiment}/{folder.path.name}/{settings_hash}".encode()).hexdigest()[:16]


def _about(folder: RunFolder, project: str, entity: str | None, tags: Sequence[str]) -> dict[str, Any]:
    """The arguments of `wandb.init` for a run, read from its `config.yaml`."""
    config: Any = OmegaConf.to_container(OmegaConf.load(folder.config))
    experiment, settings = config["experiment_name"], config_hash(config["result_settings"])
    return {
        "project": project,
        "entity": entity,
        "tags": list(tags),
        "group": experiment,
        "name": "/".join((experiment, config["data"]["name"], config["choices"]["bottleneck"], folder.path.name)),
        "id": run_id(experiment, folder, settings),
        "config": {
            **{key: value for key, value in config.items() if key != "result_settings"},
            "config_hash": settings,
        },
    }


def why_offline(settings: wandb.Settings) -> str | None:
    """Why no online run can be had; None if it can."""
    if settings.mode not in ("online", "shared"):
        return f"WANDB_MODE={settings.mode}" if "WANDB_MODE" in os.environ else f"wandb's mode is {settings.mode}"
    try:
        if not wandb.login(prompt=False, verify=False):
            return "no login: run `wandb login` or set WANDB_API_KEY"
    except wandb.errors.Error as error:
        return str(error).splitlines()[0]
    if "WANDB_MODE" not in os.environ and not reachable(settings.base_url):
        return f"{settings.base_url} does not answer"
    return None


def reachable(url: str) -> bool:
    """Whether a server answers HTTP at an address within `REACH_S` seconds; looking up its name counts, too."""
    answered = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=REACH_S):
                answered.append(True)
        except urllib.error.HTTPError:  # an answer
            answered.append(True)
        except (OSError, ValueError):  # no answer, or no address
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_S)
    return bool(answered)


def _settings(**settings: Any) -> wandb.Settings:
    return wandb.Settings(silent=True, console="off", disable_code=True, **settings)


def _log(run: Any, metrics: Mapping[str, float], step: int) -> None:
    """Logs a row, unless an earlier session of the run has: W&B's steps only rise."""
    if step >= max(run.step, run.starting_step):
        run.log(dict(metrics), step=step)


def _log_curve(run: Any, folder: RunFolder) -> None:
    for row in read_curve(folder.curve):
        _log(run, {name: value for name, value in row.items() if name != "step"}, int(row["step"]))


def _log_results(run: Any, metrics: Mapping[str, Any], folder: RunFolder) -> None:
    """Results into the summary, figures into the last row, the checkpoint as an artifact."""
    run.summary.update(results(metrics))
    pictures = {name: wandb.Image(str(path)) for name, path in figures(folder).items()}
    if pictures:
        run.log(pictures, step=max(run.step, run.starting_step, metrics["steps"]))
    if folder.checkpoint.exists():
        checkpoint = wandb.Artifact(f"checkpoint-{run.id}", type="model", metadata={"steps": metrics["steps"]})
        checkpoint.add_file(str(folder.checkpoint), policy="immutable", skip_cache=True)  # sent from where it lies
        run.log_artifact(checkpoint)


class OnlineTracker(Tracker):
    """A run that W&B's server follows. Every session of a run goes on with the same one.

    Args:
        folder: of the run.
        about: the arguments of `wandb.init`.

    Raises:
        wandb.errors.Error: if the server refuses.
    """

    def __init__(self, folder: RunFolder, about: Mapping[str, Any]) -> None:
        super().__init__()
        self.folder = folder
        started = folder.checkpoint.exists()
        self._run = wandb.init(
            **about,
            mode="online",
            dir=str(folder.path),
            resume="allow" if started else None,  # a run that starts over replaces its record
            reinit="create_new",  # seeds that are trained at once are runs side by side
            settings=_settings(init_timeout=INIT_S, finish_timeout=FINISH_S),
        )
        self._caught_up = False
        screen.print(f"wandb: {self._run.url}")

    @property
    def name(self) -> str:
        return "wandb"

    def _catch_up(self) -> None:
        """What earlier sessions logged while the server was out of reach."""
        if not self._caught_up:
            self._caught_up = True
            _log_curve(self._run, self.folder)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        assert step is not None
        self._catch_up()
        _log(self._run, {name: value for name, value in metrics.items() if name != "epoch"}, step)

    def finalize(self, status: str) -> None:
        if status != "success":  # after a success `finish` closes it
            self._run.finish(exit_code=1)

    def finish(self, metrics: Mapping[str, Any], folder: RunFolder) -> None:
        try:
            self._catch_up()
            _log_results(self._run, metrics, folder)
        finally:
            self._run.finish()


class OfflineTracker(Tracker):
    """A run put together from its folder at the end: W&B cannot append to an offline run when a session resumes.

    Args:
        about: what `wandb.init` is told.
    """

    def __init__(self, about: Mapping[str, Any]) -> None:
        super().__init__()
        self.about = about

    @property
    def name(self) -> str:
        return "wandb"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """The curve is read from `metrics.csv` at the end."""

    def finish(self, metrics: Mapping[str, Any], folder: RunFolder) -> None:
        target, partial = folder.path / "wandb", folder.path / ".wandb"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        run = wandb.init(**self.about, mode="offline", dir=str(partial), settings=_settings(x_disable_stats=True))
        _log_curve(run, folder)
        _log_results(run, metrics, folder)
        run.finish()
        for old in target.glob(f"offline-run-*-{self.about['id']}"):
            shutil.rmtree(old)
        target.mkdir(exist_ok=True)
        written = Path(next(partial.glob("wandb/offline-run-*")))
        written.rename(target / written.name)
        shutil.rmtree(partial)
        screen.print(f"wandb: `wandb sync {target / written.name}` uploads this run")
