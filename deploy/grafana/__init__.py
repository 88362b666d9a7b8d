"""Grafana: three dashboards, written in Python as the questions they answer, and the JSON that Grafana loads."""
