"""The tokenizer laboratory: what a tokenizer does to a text, which of its tokens live, and studies that compare tokenizers.

Knows nothing about the chat program.
"""
