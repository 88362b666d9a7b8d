"""The demo of controls: one person edits, pins, forbids, rolls back and is forgotten, and code checks every promise behind it.

In the order of the story: script (what the person does) → stage (Kafka, the counting engine, a worker) → play (one step after
the other) → promises (what must hold behind each) → telling (how it looks).
"""
