"""`python -m minitron`."""

from minitron.cli import main

main()
