"""Observe: a real Prometheus watches the demo through a scripted incident, and code judges which alerts fired and cleared.

In the order of the story: script (what happens, and which alerts that must lead to) → crowd (whose ratings) → stage (Kafka, the
model, two workers, Prometheus) → play (one step after the other) → timeline (what fired when, and whether that is right) →
panels and pictures (what the dashboards showed) → telling (how it looks).
"""
