"""Text to ids and back, and the chat template with its loss mask.

Knows nothing about models and where texts come from.
"""
