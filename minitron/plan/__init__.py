"""Estimates sizes, memory and time before anything runs, and proposes whole recipes for a size or a time.

Knows nothing about how stages are run.
"""
