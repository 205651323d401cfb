"""Talks to a model from Python: the terminal chat, and commands on NDJSON lines to compare two programs.

Knows nothing about training.
"""
