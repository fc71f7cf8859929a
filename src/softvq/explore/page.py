"""The page: a map for each run, the image under the pointer, clusters against classes, and the codebook."""

import base64
import io
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment
from PIL import Image

from softvq.explore.gather import Explored
from softvq.extras import needed

COLUMNS = 60  # pictures in a row of a sheet
# Paul Tol's "muted" colours, which any colour vision tells apart; more groups take them again in lighter tones.
COLOURS = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#666666")


def page(
    runs: Sequence[Explored], images: np.ndarray, labels: np.ndarray, names: Sequence[str], data: str, shown: np.ndarray
) -> str:
    """The whole page as one HTML text that asks for nothing from elsewhere.

    Args:
        runs: what is known of each.
        images: uint8 (n, H, W, C), all test images.
        labels: classes (n,) of the test images; -1 without labels.
        names: of the classes.
        data: label of the data.
        shown: numbers (m,) of the test images on the maps.
    """
    with needed("softvq explore", "explore"):
        from bokeh.embed import components
        from bokeh.resources import Resources

    extra = sorted({number for run in runs for codeword in run.codewords for number in codeword.nearest})
    sheet_numbers = np.concatenate([shown, np.array([n for n in extra if n not in set(shown.tolist())], dtype=int)])
    place = {int(number): position for position, number in enumerate(sheet_numbers)}
    source, figures = _maps(runs, labels, names, shown)
    script, divisions = components(figures, wrap_script=False)
    height, width = images.shape[1:3]
    content = {
        "side": [int(height), int(width)],
        "scale": max(1, round(84 / max(height, width))),
        "columns": COLUMNS,
        "rows": -(-len(sheet_numbers) // COLUMNS),
        "shown_rows": -(-len(shown) // COLUMNS),
        "names": list(names),
        "colours": [_colour(number) for number in range(max(len(names), *(run.clusters.max() + 1 for run in runs)))],
        "label": labels[shown].tolist(),
        "runs": [
            {
                "title": run.title,
                "cluster": run.clusters[shown].tolist(),
                "clusters": int(run.clusters.max()) + 1,
                "codeword": _first(run, shown),
            }
            for run in runs
        ],
        "source": source,
    }
    sections = [
        {
            "title": run.title,
            "map": division,
            "table": _table(run.clusters, labels, len(names)),
            "accuracy": run.accuracy,
            "codewords": [
                {
                    "number": word.number,
                    "uses": word.uses,
                    "picture": data_uri(word.decoded[None], 1),
                    "nearest": [place[n] for n in word.nearest],
                }
                for word in run.codewords
                if word.uses
            ],
            "unused": [data_uri(word.decoded[None], 1) for word in run.codewords if not word.uses],
            "positions": 1 if run.index is None else run.index.shape[1],
            "K": run.K,
            "dead": run.K - len(np.unique(run.index)) if run.index is not None else 0,
        }
        for run, division in zip(runs, divisions, strict=True)
    ]
    template = files("softvq.explore").joinpath("page.html.j2").read_text("utf-8")
    return (
        Environment(autoescape=True)
        .from_string(template)
        .render(
            data=data,
            count=len(images),
            shown=len(shown),
            names=names,
            sections=sections,
            bokeh=Resources(mode="inline", components=["bokeh"]).render_js(),
            script=script,
            content=json.dumps(content).replace("<", "\\u003c"),
            inputs=data_uri(images[sheet_numbers], COLUMNS),
            outputs=[data_uri(run.reconstructions, COLUMNS) for run in runs],
        )
    )


def _first(run: Explored, shown: np.ndarray) -> list[int]:
    """The codeword at the first position of each code on the map; -1 without a codebook."""
    return [-1] * len(shown) if run.index is None else run.index[shown, 0].tolist()


def _maps(
    runs: Sequence[Explored], labels: np.ndarray, names: Sequence[str], shown: np.ndarray
) -> tuple[str, list[Any]]:
    """One source of points that all maps share, by its id, and a figure a run: pointing at one marks it in all."""
    from bokeh.models import ColumnDataSource, CustomJS, HoverTool, TapTool
    from bokeh.plotting import figure

    columns: dict[str, Any] = {"label": labels[shown]}
    for number, run in enumerate(runs):
        columns |= {f"x{number}": run.embedding[:, 0], f"y{number}": run.embedding[:, 1]}
        columns[f"class{number}"] = [_colour(value) for value in labels[shown]]
        columns[f"cluster{number}"] = [_colour(value) for value in run.clusters[shown]]
        columns[f"codeword{number}"] = [_colour(value) for value in _first(run, shown)]
        columns[f"colour{number}"] = columns[f"{'class' if names else 'cluster'}{number}"]  # the page's first choice
    source = ColumnDataSource(columns, name="points")
    figures = []
    for number, run in enumerate(runs):
        plot = figure(
            height=460, sizing_mode="stretch_width", title=run.title, tools="pan,wheel_zoom,box_zoom,reset",
            active_drag=None, active_scroll=None, x_axis_location=None, y_axis_location=None,
        )  # fmt: skip
        plot.grid.visible = False
        plot.toolbar.logo = None
        points = plot.scatter(
            f"x{number}", f"y{number}", source=source, size=6, line_color=None, fill_alpha=0.8,
            fill_color=f"colour{number}", selection_line_color="black", nonselection_fill_alpha=0.35,
        )  # fmt: skip
        tell = CustomJS(args={"source": source}, code="softvqPointed(cb_data.index.indices, source)")
        plot.add_tools(HoverTool(renderers=[points], tooltips=None, callback=tell))
        keep = CustomJS(args={"source": source}, code="softvqTapped(source)")
        plot.add_tools(TapTool(renderers=[points], mode="replace", callback=keep))
        figures.append(plot)
    source.selected.js_on_change("indices", CustomJS(args={"source": source}, code="softvqSelected(source)"))
    return source.id, figures


def _colour(group: int) -> str:
    """A colour for each group; after the first ten the same in lighter tones."""
    base, turn = COLOURS[group % len(COLOURS)], min(2, group // len(COLOURS))
    if turn <= 0:
        return base
    lighter = [int(base[i : i + 2], 16) + (255 - int(base[i : i + 2], 16)) * turn // 3 for i in (1, 3, 5)]
    return "#" + "".join(f"{value:02x}" for value in lighter)


def _table(clusters: np.ndarray, labels: np.ndarray, classes: int) -> list[list[int]]:
    """How many test images of each class (column) lie in each cluster (row)."""
    counts = np.zeros((clusters.max() + 1, classes), dtype=int)
    known = labels >= 0
    np.add.at(counts, (clusters[known], labels[known]), 1)
    return counts.tolist()


def data_uri(images: np.ndarray, columns: int) -> str:
    """Images uint8 (n, H, W, C) on one sheet, row by row: PNG for gray ones, JPEG for colour."""
    n, height, width, channels = images.shape
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:n] = images
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    gray = channels != 3
    picture = Image.fromarray(sheet[..., 0] if gray else sheet)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG" if gray else "JPEG", **({"optimize": True} if gray else {"quality": 85}))
    kind = "png" if gray else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
