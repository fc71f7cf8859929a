"""Judges what was read: entries over seeds, experiments, the paper's tables and claims, statistics."""
