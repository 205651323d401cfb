"""Sampling: batched answers of chat models, endless text of base models.

Knows nothing about training.
"""
