"""Looking at data before anything is trained on it, and having it judged.

Knows nothing about models and training.
"""
