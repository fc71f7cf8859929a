"""Writes the report: tables, a page, LaTeX, pictures."""
