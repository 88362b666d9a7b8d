"""Prometheus: recording rules, alerts and their tests; where the real ``prometheus`` and ``promtool`` come from."""
