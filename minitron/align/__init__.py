"""Alignment with labels: losses against a frozen reference, guards, leakage audit, the choice of what ships.

Knows nothing about where labels come from.
"""
