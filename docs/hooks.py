"""Fills the page of settings from the schema and from `conf/`, when the site is built."""

from pathlib import Path
from typing import Any

from softvq.config.compose import CONF_DIR
from softvq.config.schema import SCHEMA

MARK = "<!-- settings -->"
GROUPS = ("bottleneck", "network", "data", "reconstruction", "optimizer", "trainer", "probes", "logger", "hydra")
SHOWN = (*GROUPS[:-1], "fidelity", "experiment")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by MkDocs with each page's text."""
    return (
        markdown.replace(MARK, f"{settings()}\n\n{files()}")
        if page.file.src_uri == "reference/settings.md"
        else markdown
    )


def settings() -> str:
    """Every key with what it may be and what it means, a table for each group."""
    tables = []
    for group in ("", *GROUPS):
        rows = [
            f"| `{key}` | {kind.description}{_null(kind.null_means)} | {kind.meaning} |"
            for key, kind in SCHEMA.items()
            if (key.partition(".")[0] if "." in key else "") == group
        ]
        if rows:
            title = f"`{group}.`" if group else "The whole run"
            tables.append("\n".join([f"### {title}", "", "| key | values | meaning |", "|---|---|---|", *rows]))
    return "\n\n".join(tables)


def files() -> str:
    """The configurations themselves, whose comments say where each number comes from."""
    parts = ["## The numbers, and where they come from"]
    for group in SHOWN:
        parts.append(f"### {group}")
        for file in sorted((CONF_DIR / group).glob("*.yaml")):
            parts.append(f'??? note "{group}={file.stem}"\n\n' + _indented(f"```yaml\n{_text(file)}\n```"))
    return "\n\n".join(parts)


def _null(meaning: str | None) -> str:
    return "" if meaning is None else f", or null: {meaning}"


def _text(file: Path) -> str:
    return file.read_text("utf-8").rstrip()


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
