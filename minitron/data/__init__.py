"""Dialogues, labels and raw text: read from any source, checked, selected by rules, stored, packed into rows.

Knows nothing about models and training.
"""
