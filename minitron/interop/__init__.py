"""Models in the formats of other programs, one file per format.

Knows nothing about training.
"""
