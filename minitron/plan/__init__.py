"""Sizes, memory and time before anything runs, and whole recipes for a size or a time.

Knows nothing about how stages are run.
"""
