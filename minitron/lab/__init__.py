"""The laboratory: what a tokenizer does to a text, which of its tokens live, studies that compare tokenizers, and a page that explains a model.

Knows nothing about chatting with a model.
"""
