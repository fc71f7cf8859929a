"""Reads run folders, and what their settings are beside today's defaults."""
