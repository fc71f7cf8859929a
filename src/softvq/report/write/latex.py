"""The tables in LaTeX, our numbers beside the paper's."""

from typing import Any

from softvq.published import MINUS, label, shown
from softvq.report.write.numbers import over_seeds

ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "β": r"$\beta$",
    MINUS: r"$-$",
    "±": r"$\pm$",
    "—": "---",
}
MARKS = {
    "match": "=",
    "above": r"\uparrow",
    "below": r"\downarrow",
    "undecided": r"\sim",
    "too few seeds": "?",
    "no spread": "!",
}
KEY = (
    r"In percent: mean and, from three seeds on, half its 95\,\% interval, beside the paper's number; $=$ match, "
    r"$\uparrow$ above, $\downarrow$ below the paper, $\sim$ undecided, ? too few seeds, ! seeds without effect."
)


def escape(text: Any) -> str:
    """Text that LaTeX sets as it is, on one line."""
    return "".join(ESCAPES.get(character, character) for character in " ".join(str(text).split()))


def latex(content: dict[str, Any]) -> str:
    """tables.tex: a table environment for each table and experiment; needs the package booktabs."""
    tables = [_paper_table(table, tables) for tables in content["paper_tables"] for table in tables["tables"]]
    tables += [_experiment(experiment) for experiment in content["experiments"]]
    return "\n".join(["% needs \\usepackage{booktabs}; UTF-8", *tables])


def _paper_table(table: dict[str, Any], tables: dict[str, Any]) -> str:
    columns = [(data, metric) for data in table["data"] for metric in data["metrics"]]
    groups = [rf"\multicolumn{{{2 * len(d['metrics'])}}}{{c}}{{{escape(d['title'])}}}" for d in table["data"]]
    metrics = [rf"\multicolumn{{2}}{{c}}{{{escape(label(metric))}}}" for _, metric in columns]
    rows = []
    for row in table["rows"]:
        line = [escape(row["title"])]
        for data, entry in zip(table["data"], row["entries"], strict=True):
            for metric in data["metrics"]:
                found = entry["metrics"][metric]
                line += [_ours(found, metric), escape(shown(found["paper"], metric))]
        rows.append(line)
    heads = [["", *groups], ["", *metrics], ["Model", *["ours", "paper"] * len(columns)]]
    caption = rf"{escape(table['title'])}. {escape(table['caption'])} fidelity={escape(tables['fidelity'])}. {KEY}"
    return _environment(caption, f"{table['key']}-{tables['fidelity']}", "l" + "rr" * len(columns), heads, rows)


def _ours(found: dict[str, Any], metric: str) -> str:
    if found["mean"] is None:
        return "not run"
    mark = f"$^{{{MARKS[found['verdict']]}}}$" if found["verdict"] in MARKS else ""
    return f"{escape(over_seeds(found, metric))}{mark}"


def _experiment(experiment: dict[str, Any]) -> str:
    """All rows of an experiment, whatever their steps and protocol; the caption says them."""
    keys, metrics = experiment["keys"], experiment["metrics"]
    head = ["Model", *(escape(key["heading"]) for key in keys), *(escape(label(m)) for m in metrics), "seeds"]
    rows = []
    for row in experiment["rows"]:
        title = row["model_title"]
        numbers = [escape(over_seeds(row["metrics"][m], m)) if m in row["metrics"] else "---" for m in metrics]
        settings = [escape(row["settings"].get(key["key"], "—")) for key in keys]
        rows.append([escape(title), *settings, *numbers, str(row["n"])])
    caption = rf"{escape(experiment['title'])}: {escape(experiment['caption'])}."
    return _environment(caption, experiment["id"], "l" * (1 + len(keys)) + "r" * (len(metrics) + 1), [head], rows)


def _environment(caption: str, name: str, columns: str, heads: list[list[str]], rows: list[list[str]]) -> str:
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{name.replace('_', '-')}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *(rf"{' & '.join(head)} \\" for head in heads),
        r"\midrule",
        *(rf"{' & '.join(row)} \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)
