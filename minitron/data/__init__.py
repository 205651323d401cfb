"""Dialogues, labels and raw text: read from any source, checked, kept by rules, stored, packed into rows.

Knows nothing about models and training.
"""
