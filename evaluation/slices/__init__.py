"""Slices: people to whom something hard happens, and what may come of it. One file for each thing that happens."""
