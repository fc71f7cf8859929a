"""Autoencoder bottlenecks, trained and probed under one protocol (Wu & Flierl, 2019)."""
