"""The command line: which commands and options there are (`arguments`), carrying them out, and saying how they failed (`commands`).

Knows nothing about how anything is done.
"""

from minitron.cli.commands import main

__all__ = ["main"]
