"""Groups runs by what decided their results and sets each group beside the paper's number."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from softvq.published import published
from softvq.report.judge.statistics import FEWEST_SEEDS, Summary, summarize, verdict
from softvq.report.read.collect import Run
from softvq.report.read.defaults import Defaults, Departures
from softvq.report.write.layout import COLUMNS, OTHER_COLUMNS, ROWS, SEEDLESS, data_order, row_order

PAPER_DATA = tuple(COLUMNS)
PAPER_EXPERIMENTS = ("table_1", "table_2")


@dataclass(frozen=True)
class Setting:
    """What a table's runs have in common: fidelity, protocol and departures that any model could share."""

    fidelity: str
    protocol: str
    departures: tuple[tuple[str, str, str], ...] = ()

    @property
    def title(self) -> str:
        """As one would type it."""
        return " ".join(
            [f"fidelity={self.fidelity}", f"probes={self.protocol}", *(f"{k}={v}" for k, v, _ in self.departures)]
        )


MAIN = Setting("paper", "paper")


@dataclass(frozen=True)
class Cell:
    """The runs of one model on one data set under equal settings, a seed each; empty where nothing was run.

    `repeats` are further runs of a seed that is already there: equal settings, so they add nothing. `notes` are what a
    reader of the numbers should know.
    """

    data: str
    bottleneck: str
    setting: Setting
    own: tuple[tuple[str, str, str], ...] = ()
    settings_hash: str | None = None
    runs: tuple[Run, ...] = ()
    repeats: tuple[Run, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def fewest(self) -> int:
        """Seeds that a verdict needs."""
        return 1 if self.bottleneck in SEEDLESS else FEWEST_SEEDS

    @property
    def columns(self) -> tuple[str, ...]:
        """The metrics that the paper's table of this data set has; all probes for other data."""
        return COLUMNS.get(self.data, OTHER_COLUMNS)

    def values(self, metric: str) -> dict[int, float]:
        """Seed -> value, in the order of the seeds."""
        return {run.seed: run.values[metric] for run in self.runs if metric in run.values}

    def summary(self, metric: str) -> Summary | None:
        """Over the seeds; None without any."""
        values = list(self.values(metric).values())
        return summarize(values) if values else None

    def paper(self, metric: str) -> float | None:
        """The paper's number; None where it has none."""
        return published(self.data, self.bottleneck).get(metric)

    def verdict(self, metric: str) -> str:
        """How the result compares with the paper's."""
        return verdict(self.summary(metric), self.paper(metric), self.fewest)


@dataclass
class Grid:
    """The cells of one setting: every row of the paper for each data set in it, run or not."""

    setting: Setting
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    variants: list[Cell] = field(default_factory=list)  # the same setting, but settings of one model's own

    @property
    def data(self) -> list[str]:
        """The data sets, the paper's first."""
        return sorted({data for data, _ in self.cells}, key=data_order)

    def rows(self, *data: str) -> list[str]:
        """The models that have a cell on one of the data sets, in the paper's order."""
        return sorted({bottleneck for d, bottleneck in self.cells if d in data}, key=row_order)

    def variant(self, data: str, bottleneck: str, settings: Mapping[str, str]) -> Cell | None:
        """The cell with exactly these settings of its own."""
        if not settings:
            return self.cells.get((data, bottleneck))
        for cell in self.variants:
            if (cell.data, cell.bottleneck) == (data, bottleneck) and {k: v for k, v, _ in cell.own} == dict(settings):
                return cell
        return None


def make_grids(runs: Iterable[Run], defaults: Defaults, fidelities: Sequence[str] = ()) -> list[Grid]:
    """All grids, the paper's own setting first; that one is there even without runs.

    Args:
        runs: what finished.
        defaults: the default configurations.
        fidelities: only these; empty for all.
    """
    grouped: dict[tuple[str, str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        if not fidelities or run.fidelity in fidelities:
            grouped[run.data, run.bottleneck, run.protocol, run.settings_hash].append(run)
    found: dict[Setting, dict[tuple[str, str], list[tuple[Departures, Cell]]]] = defaultdict(lambda: defaultdict(list))
    wanted = MAIN if not fidelities or MAIN.fidelity in fidelities else Setting(fidelities[0], MAIN.protocol)
    found[wanted]  # the table of the paper's own setting is there even without runs
    for key in sorted(grouped):
        members = grouped[key]
        departures = defaults.departures(members[0])
        setting = Setting(members[0].fidelity, members[0].protocol, departures.shared)
        cell = _cell(setting, departures, members)
        found[setting][cell.data, cell.bottleneck].append((departures, cell))
    grids = [_grid(setting, candidates, setting == wanted) for setting, candidates in found.items()]
    return sorted(grids, key=lambda grid: _setting_order(grid.setting, wanted))


def _setting_order(setting: Setting, first: Setting) -> tuple:
    return (setting != first, len(setting.departures), setting.protocol != "paper", setting.title)


def _cell(setting: Setting, departures: Departures, members: list[Run]) -> Cell:
    seeds: dict[int, Run] = {}
    repeats = []
    for run in sorted(members, key=lambda run: (run.seed, run.experiment not in PAPER_EXPERIMENTS, run.folder)):
        if run.seed in seeds:
            repeats.append(run)
        else:
            seeds[run.seed] = run
    runs = tuple(seeds.values())
    return Cell(
        members[0].data,
        members[0].bottleneck,
        setting,
        departures.own,
        members[0].settings_hash,
        runs,
        tuple(repeats),
        tuple(_notes(runs, repeats, departures)),
    )


def _notes(runs: Sequence[Run], repeats: Sequence[Run], departures: Departures) -> Iterable[str]:
    counted = {run.seed: run.values for run in runs}
    if any(run.values != counted[run.seed] for run in repeats):
        yield "repeats of a seed under equal settings gave other numbers"
    if any(run.data_source.get("verified") is False for run in runs):
        yield "data: the checksum is not the published one"
    commits = {run.commit for run in runs}
    if None in commits:
        yield "code: the commit is not known"
    if len(commits) > 1:
        yield "code: the runs have several commits"
    if any((commit or "").endswith("-dirty") for commit in commits):
        yield "code: files differed from the commit"
    if departures.unrecorded:
        yield f"older than these settings: {', '.join(departures.unrecorded)}"


def _grid(setting: Setting, candidates: Mapping[tuple[str, str], list[tuple[Departures, Cell]]], main: bool) -> Grid:
    """The default of each cell goes into the table, whatever differs from it beside the table.

    Of several defaults (of different ages or data) the one on verified data that knows most of today's settings counts.
    """
    grid = Grid(setting)
    for data in sorted({*(PAPER_DATA if main else ()), *(data for data, _ in candidates)}):
        for bottleneck in ROWS:
            grid.cells[data, bottleneck] = Cell(data, bottleneck, setting)
    for key, members in candidates.items():
        usual = sorted((pair for pair in members if not pair[1].own), key=_rank)
        grid.cells[key] = usual[0][1] if usual else Cell(*key, setting)
        grid.variants += [cell for _, cell in usual[1:]]
        grid.variants += [cell for _, cell in members if cell.own]
    grid.variants.sort(
        key=lambda cell: (data_order(cell.data), row_order(cell.bottleneck), _natural(cell.own), cell.settings_hash)
    )
    return grid


def _rank(pair: tuple[Departures, Cell]) -> tuple[bool, int, str]:
    departures, cell = pair
    unverified = any(run.data_source.get("verified") is False for run in cell.runs)
    return unverified, len(departures.unrecorded), cell.settings_hash or ""


def _natural(own: tuple[tuple[str, str, str], ...]) -> list[tuple[str, float, str]]:
    """Settings in the order of their numbers, where they are numbers."""

    def number(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            return float("inf")

    return [(key, number(value), value) for key, value, _ in own]
