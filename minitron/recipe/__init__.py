"""One recipe, one model: all options with their help and bounds, read, checked as a whole and written back.

Knows nothing about what the stages do with the values.
"""
