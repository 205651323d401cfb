"""The transformer in its shapes, its layers and state, and low-rank changes of its weights.

Knows nothing about text or training.
"""
