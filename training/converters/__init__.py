"""Converters: between the papers' files and ours, row by row, so that a file may be larger than memory.

What has answers to learn becomes examples (:mod:`training.examples`); what has behaviour becomes the benchmarks' form, which
:mod:`evaluation.tasks.alignxplore` reads as people and questions.
"""
