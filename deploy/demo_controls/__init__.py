"""The demo of controls: one person reads, edits, pins, forbids and rolls back, and code checks every promise after every step.

In the order of the story: script (what the person does) → stage (Kafka, the counting engine, a worker) → play (one step after
the other) → promises (what must hold behind each) → telling (how it looks).
"""
