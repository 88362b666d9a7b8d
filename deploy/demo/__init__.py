"""The demo: real ratings replayed as live events, summaries evolving on screen, and the accounts at the end.

In the order of the story: movielens (the ratings) → replay (published as a platform would) → processes (engine and worker) →
chaos (kill -9) → watching (what is to be seen from outside) → screen → accounting (from the topics alone) → report.
"""
