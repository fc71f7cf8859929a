"""Writes what was found: tables, a page, LaTeX, pictures."""
