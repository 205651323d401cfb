"""The stages of a recipe, one thin module each, and the pipeline that runs those that are not done.

Knows nothing about the command line.
"""
