"""Bottlenecks between encoder and decoder, one file per method."""
