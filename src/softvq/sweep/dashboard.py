"""Makes a sweep's W&B workspace and report, and lists its runs that are still to upload."""

import hashlib
import json
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from softvq.config.compose import CONF_DIR
from softvq.published import IN_WORDS, PROBE_METRICS

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Report
    from wandb_workspaces.workspaces import Workspace

SHOWN = 100  # runs or groups in a panel; W&B's own limit is 10

# section -> kind of panel, metric as the tracker names it, title
PANELS = {
    "Probe results": [
        *(("bars", f"probes/{name}", IN_WORDS[name]) for name in PROBE_METRICS),
        ("bars", "reconstruction/test_normalized_mse", "test MSE / pixel variance"),
    ],
    "Training curves": [
        ("curve", "train/loss", "loss"),
        ("curve", "train/reconstruction_loss", "reconstruction loss"),
    ],
    "Codebook": [
        ("curve", "train/perplexity", "perplexity while training"),
        ("bars", "diagnostics/perplexity", "perplexity on the test set"),
        ("bars", "diagnostics/dead_codes", "codewords that the test set never uses"),
    ],
    "Figures": [
        ("pictures", "figures/reconstructions", "reconstructions: input above output"),
        ("pictures", "figures/tsne", "t-SNE of z_e"),
        ("pictures", "figures/codebook_use", "codebook use"),
    ],
}
COLUMNS = ["run:displayName", *(f"summary:probes/{name}" for name in PROBE_METRICS)]


def offline_runs(*logs: Path) -> list[Path]:
    """The folders that W&B wrote for runs below `logs` without a server, and that were not uploaded since.

    A run that was started over under other settings has several such folders; only its newest counts.
    """
    newest: dict[Path, Path] = {}
    for root in logs:
        for folder in sorted(root.rglob("wandb/offline-run-*")):
            if folder.parents[1].name != ".wandb":  # a folder that the tracker has not finished writing
                newest[folder.parent] = folder
    return [folder for folder in newest.values() if not any(folder.glob("*.wandb.synced"))]


def upload_hint(runs: Sequence[Path]) -> str:
    """The one command that uploads offline runs."""
    here = Path.cwd()
    paths = [run.relative_to(here) if run.is_relative_to(here) else run for run in runs]
    command = " \\\n  ".join(["wandb sync", *(shlex.quote(str(path)) for path in paths)])
    return f"not in W&B yet: {len(runs)} offline run{'s' if len(runs) > 1 else ''}; to upload:\n{command}"


def grouping(experiment: str) -> list[str]:
    """The settings by which W&B groups runs before it averages them, as keys of the tracked configuration.

    Runs of a group differ in their seed alone. Fidelity and probes are among the settings, since a mean over numbers of
    different protocols means nothing.
    """
    file = CONF_DIR / "experiment" / f"{experiment}.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    swept = content.get("hydra", {}).get("sweeper", {}).get("params", {})
    others = [key for key in swept if key not in ("data", "bottleneck", "seed")]
    varied = [f"choices.{key}" if (CONF_DIR / key).is_dir() else key for key in others]
    return list(dict.fromkeys(["data.name", "choices.bottleneck", *varied, "choices.fidelity", "choices.probes"]))


def _panels(section: str) -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    means: Any = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev", "max_runs_to_show": SHOWN}

    def panel(kind: str, metric: str, title: str) -> Any:
        if kind == "bars":
            return wr.BarPlot(title=title, metrics=[metric], max_bars_to_show=SHOWN, **means)
        if kind == "curve":
            return wr.LinePlot(title=title, y=[metric], **means)
        return wr.MediaBrowser(title=title, media_keys=[metric], num_columns=4, layout=wr.Layout(w=24, h=12))

    return [panel(*about) for about in PANELS[section]]


def build_workspace(experiment: str, project: str, entity: str) -> "Workspace":
    """The workspace of a sweep: its runs alone, averaged over seeds."""
    from wandb_workspaces import expr
    from wandb_workspaces import workspaces as ws

    workspace = ws.Workspace(
        entity=entity,
        project=project,
        name=f"Sweep {experiment}",
        sections=[ws.Section(name=section, panels=_panels(section), is_open=True) for section in PANELS],
        settings=ws.WorkspaceSettings(max_runs=SHOWN),
        runset_settings=ws.RunsetSettings(
            filters=expr.And(expr.Metric("Group") == experiment),
            groupby=[expr.Config(key) for key in grouping(experiment)],
            order=[expr.Ordering(expr.Metric("Name"), ascending=True)],
            pinned_columns=list(COLUMNS),
        ),
    )
    # The same experiment always gets the same name, so that a second call saves over the first workspace.
    workspace._internal_name = f"nw-{hashlib.sha256(experiment.encode()).hexdigest()[:11]}-v"
    return workspace


def build_report(experiment: str, project: str, entity: str) -> "Report":
    """The report of a sweep: numbers averaged over seeds, and the figures of each run."""
    from wandb_workspaces import expr
    from wandb_workspaces.reports import v2 as wr

    def grid(section: str) -> wr.PanelGrid:
        runs = wr.Runset(  # where neither entity nor project is given, W&B takes those of the report
            name=experiment,
            filters=expr.And(expr.Metric("Group") == experiment),
            groupby=[] if section == "Figures" else [f"config.{key}" for key in grouping(experiment)],
            order=[wr.OrderBy("Name", ascending=True)],
            pinned_columns=list(COLUMNS),
        )
        return wr.PanelGrid(runsets=[runs], panels=_panels(section))

    about = (
        f"The runs of the group {experiment}. Bars and curves are means over seeds, results are fractions of 1. "
        "The page that `make report` writes sets the same numbers beside the paper's."
    )
    blocks = [block for section in PANELS for block in (wr.H2(section), grid(section))]
    return wr.Report(
        project=project,
        entity=entity,
        title=f"Sweep {experiment}",
        blocks=[wr.P(about), wr.TableOfContents(), *blocks],
        width="fluid",
    )


def specification(experiment: str, project: str, entity: str) -> dict[str, Any]:
    """What `publish` would send to W&B."""
    parts: dict[str, Any] = {"workspace": build_workspace, "report": build_report}
    models = {name: build(experiment, project, entity)._to_model() for name, build in parts.items()}
    return {name: json.loads(model.model_dump_json(by_alias=True, exclude_none=True)) for name, model in models.items()}


def publish(experiment: str, project: str, entity: str | None) -> list[str]:
    """Saves workspace and report, over those of an earlier time; returns their addresses.

    Asks nobody for a login, and does not wait for a server that is out of reach.

    Raises:
        ValueError: if there is no login or no server, or the server has no run of the sweep.
        wandb.errors.Error: if the server refuses.
    """
    import wandb
    from wandb_workspaces.workspaces import Workspace

    from softvq.tracking.wandb import reachable, why_offline

    settings = wandb.setup(wandb.Settings(silent=True)).settings
    if reason := why_offline(settings) or (not reachable(settings.base_url) and f"{settings.base_url} is silent"):
        raise ValueError(reason)
    api = wandb.Api()
    owner: Any = entity or api.settings["entity"] or api.default_entity
    path = f"{owner}/{project}"
    if not len(api.runs(path, filters={"group": experiment}, per_page=1)):
        raise ValueError(f"{path} has no runs of the group {experiment}: upload them, or sweep with logger=wandb")
    workspace, report = build_workspace(experiment, project, owner), build_report(experiment, project, owner)
    with suppress(ValueError):  # there is none yet
        workspace._internal_id = Workspace.from_url(workspace.url)._internal_id
    report.id = next((found.id for found in api.reports(path) if found.display_name == report.title), "")
    return [workspace.save().url, report.save().url]
