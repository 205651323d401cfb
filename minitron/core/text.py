"""Text that UTF-8 can hold. JSON escapes may leave halves of characters (lone surrogates), which it cannot.

Knows nothing about where a text comes from.
"""

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold the text."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def mended(text: str) -> str:
    """The text with each lone surrogate replaced by U+FFFD, as Go does."""
    return text if is_unicode(text) else _SURROGATE.sub("\ufffd", text)
