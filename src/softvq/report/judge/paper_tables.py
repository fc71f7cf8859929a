"""The paper's Tables 1 and 2, filled with the entries whose steps, network and protocol are the paper's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from softvq.published import PAPER_DATA, ROWS, published, row_order
from softvq.report.judge.entries import Entry
from softvq.report.judge.verdict import verdict

FIDELITIES = ("paper", "released")
PROTOCOL, TAP = "paper", "z_e"


@dataclass
class PaperTables:
    """The rows of both tables under one fidelity.

    Attributes:
        fidelity: `paper` or `released`.
        entries: (data, bottleneck) -> entry; an entry without runs where there are none.
        variants: entries under the paper's conditions whose bottleneck has other settings, as another K.
    """

    fidelity: str
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    variants: list[Entry] = field(default_factory=list)

    @property
    def was_run(self) -> bool:
        """Whether any row has a run."""
        return any(entry.runs for entry in self.entries.values())

    def rows(self, data: Sequence[str]) -> list[str]:
        """The models of a table, in the paper's order."""
        return sorted({bottleneck for name, bottleneck in self.entries if name in data}, key=row_order)

    def variant(self, data: str, bottleneck: str, settings: Mapping[str, str]) -> Entry | None:
        """The entry of a model whose bottleneck differs from the defaults by exactly these settings; None without."""
        if not settings:
            return self.entries.get((data, bottleneck))
        for entry in self.variants:
            own = {key: value for key, value, _ in entry.departures.own}
            if (entry.data, entry.bottleneck) == (data, bottleneck) and own == dict(settings):
                return entry
        return None


def is_the_papers_setting(entry: Entry) -> bool:
    """Whether steps, network and protocol are the paper's, so that the numbers can stand beside the paper's."""
    conditions = (entry.protocol, entry.tap) == (PROTOCOL, TAP) and entry.departures.known
    return conditions and not entry.departures.shared and entry.data in PAPER_DATA


def is_a_row_of_the_paper(entry: Entry) -> bool:
    """Whether, besides, the bottleneck's settings are the paper's: K, beta and weights."""
    return is_the_papers_setting(entry) and not entry.departures.own


def paper_number(entry: Entry, metric: str) -> float | None:
    """The paper's number with which an entry can be compared; None where there is none."""
    return published(entry.data, entry.bottleneck).get(metric) if is_a_row_of_the_paper(entry) else None


def paper_verdict(entry: Entry, metric: str) -> str:
    """How the entry compares with the paper's number."""
    return verdict(entry.summary(metric), paper_number(entry, metric), entry.seedless)


def make_paper_tables(entries: Iterable[Entry], fidelities: Sequence[str] = ()) -> list[PaperTables]:
    """The tables under each fidelity that has runs; the first of `fidelities` has tables even without any.

    Args:
        entries: of all settings; those that are not the paper's are left out.
        fidelities: only these; empty for all.
    """
    wanted = [fidelity for fidelity in FIDELITIES if not fidelities or fidelity in fidelities]
    usable = [entry for entry in entries if is_the_papers_setting(entry)]
    tables = [_tables(fidelity, [e for e in usable if e.fidelity == fidelity]) for fidelity in wanted]
    return [table for number, table in enumerate(tables) if number == 0 or table.was_run or table.variants]


def _tables(fidelity: str, entries: Sequence[Entry]) -> PaperTables:
    """The tables under one fidelity; of several entries for one place, the one that has most of today's settings."""
    tables = PaperTables(fidelity)
    for data in PAPER_DATA:
        for bottleneck in ROWS:
            tables.entries[data, bottleneck] = Entry(data, bottleneck, fidelity, PROTOCOL, TAP)
    ranked = sorted(entries, key=lambda e: (len(e.departures.unrecorded), -len(e.runs), e.settings_hash or ""))
    placed = set()
    for entry in ranked:
        place = (entry.data, entry.bottleneck)
        if entry.departures.own or place in placed:
            tables.variants.append(entry)
        else:
            tables.entries[place] = entry
            placed.add(place)
    return tables
