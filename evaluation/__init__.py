"""Evaluation: does the summary help a downstream model to choose? Tasks, readers, settings and one report.

Nothing imports it. Summaries are made by the production path (:mod:`streams`), never by a copy of it.
"""
