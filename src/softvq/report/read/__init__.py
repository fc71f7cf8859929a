"""Reads run folders, and finds how their settings differ from today's defaults."""
