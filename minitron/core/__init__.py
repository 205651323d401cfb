"""What every other package leans on: the one user-facing exception, the console, atomic files, threads, processes, devices.

Knows nothing about recipes, models and data.
"""
