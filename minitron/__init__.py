"""minitron: from judged dialogues to a chat program that a person can send to friends."""

import os

__version__ = "0.1.0"

# GNU's OpenMP, of torch on Linux, reads this when it is loaded: how often a thread looks whether the others are ready before it sleeps.
# Its own 300,000 times take the core from another program, and two trainings at once take several times as long as they need.
# With 1,000 a program alone loses a little where all it does is small operations (benchmarks/threads.py measures both).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
