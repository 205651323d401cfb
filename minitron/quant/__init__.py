"""Matrices in fp16, 8 or 4 bits, and a model that computes with them as the chat program does.

Knows nothing about files and formats.
"""
