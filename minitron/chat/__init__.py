"""Talking to a model from Python: the terminal chat, and NDJSON lines to compare two programs.

Knows nothing about training.
"""
