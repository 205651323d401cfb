"""minitron: from judged dialogues to a chat program that a person can send to friends."""

__version__ = "0.1.0"
