"""Elements of an HTML page. Every text is escaped when it becomes part of an element, since a model's answer may hold anything.

    el("p", "1 < 2", class_="note")     # <p class="note">1 &lt; 2</p>

Knows nothing about reports.
"""

import re
from html import escape


class Html(str):
    """Markup; every other text is escaped when it becomes part of an element."""


def el(name: str, *children: object, **attributes: object) -> Html:
    """An element. Lists are joined, None is left out, `class_` is class, `text_anchor` is text-anchor."""
    named = (f' {key.rstrip("_").replace("_", "-")}="{_escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{''.join(named)}>{_join(children)}</{name}>")


def document(title: str, body: Html, *, style: str) -> str:
    """A page of its own, to be written to a file."""
    head = el("head", el("meta", charset="utf-8"), el("title", title), el("style", Html(style)))
    return "<!doctype html>" + el("html", head, el("body", body), lang="en") + "\n"


def _join(value: object) -> str:
    if isinstance(value, list | tuple):
        return "".join(_join(v) for v in value)
    return "" if value is None else value if isinstance(value, Html) else _escape(value)


def _escape(value: object) -> str:
    """Escapes text for an element or an attribute. Line ends become \\n; characters that no page may hold (control characters, lone surrogates) become U+FFFD."""
    value = str(value).replace("\r\n", "\n").replace("\r", "\n")
    return escape(re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", value))
