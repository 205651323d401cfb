"""What text becomes on the page of `minitron-chat web`: nodes, never markup; Markdown. In headless Chromium."""

import pytest
from browser import MARKUP


def test_text_never_becomes_markup(window):
    w = window()
    w.ask(MARKUP)
    assert w.said() == [MARKUP]
    text = f"{MARKUP}\n\n```html\n{MARKUP}\n```\nand `{MARKUP}` <script>alert(1)</script>"
    show = """(text) => { const e = document.createElement('div'); document.querySelector('.theirs .text').replaceChildren(e);
        const write = minitron.markdown.writer(e); for (let i = 1; i <= text.length; i++) write(text.slice(0, i)); return e.textContent; }"""
    assert w.page.evaluate(show, text) == f"{MARKUP}{MARKUP}and {MARKUP} <script>alert(1)</script>"
    assert w.page.locator(".messages").locator("img, b, script").count() == 0
    assert w.page.locator(".messages pre code").inner_text() == MARKUP
    assert w.page.locator(".messages p code").inner_text() == MARKUP


MARKDOWN = {
    "plain\nlines": "<p>plain\nlines</p>",
    "**bold** and *soft* and `**code**`": "<p><strong>bold</strong> and <em>soft</em> and <code>**code**</code></p>",
    "2 * 3 * 4, 2*3*4, a ** b ** c, **open, 5*": "<p>2 * 3 * 4, 2*3*4, a ** b ** c, **open, 5*</p>",
    "Fruit:\n- an **apple**\n- a pear,\n  ripe\n\nDone": "<p>Fruit:</p><ul><li>an <strong>apple</strong></li><li>a pear,\nripe</li></ul><p>Done</p>",
    "3. three\n4) four\n* star": '<ol start="3"><li>three</li><li>four</li></ol><ul><li>star</li></ul>',
    "# A title\ntext\n#hash": '<p class="heading"><strong>A title</strong></p><p>text\n#hash</p>',
    "-5 degrees\n— Да, — сказал он\n-\n1.5 m": "<p>-5 degrees\n— Да, — сказал он\n-\n1.5 m</p>",
    "- <b>x</b> **<i>y</i>**": "<ul><li>&lt;b&gt;x&lt;/b&gt; <strong>&lt;i&gt;y&lt;/i&gt;</strong></li></ul>",
    "***all*** **a *b* c** _d_ snake_case_ __x__ \\*e\\*": "<p><strong><em>all</em></strong> <strong>a <em>b</em> c</strong> <em>d</em> snake_case_ __x__ *e*</p>",
    "***a** b": "<p><strong>*a</strong> b</p>",
    "> said\n> so\n\n---\nend": "<blockquote><p>said\nso</p></blockquote><hr><p>end</p>",
    "1. one\n   - in\n     * deep\n   1. other\n2. two\n\n3. three\n\n   more\n\nend": '<ol start="1"><li>one<ul><li>in<ul><li>deep</li></ul></li></ul>'
    '<ol start="1"><li>other</li></ol></li><li>two</li><li>three\nmore</li></ol><p>end</p>',
    "- a\n\t- b\n\t\t1. c\n- d": '<ul><li>a<ul><li>b<ol start="1"><li>c</li></ol></li></ul></li><li>d</li></ul>',
    "Prices:\n| a | `b` |\n|:-:|--:|\n| <i> \\| | **2** | cut |\n| 3\nafter | it": '<p>Prices:</p><div class="table" tabindex="0"><table><thead><tr>'
    '<th class="center">a</th><th class="right"><code>b</code></th></tr></thead><tbody><tr><td class="center">&lt;i&gt; |</td>'
    '<td class="right"><strong>2</strong></td></tr><tr><td class="center">3</td></tr><tr><td class="center">after</td><td class="right">it</td></tr>'
    "</tbody></table></div>",
    "a | b\nno | table": "<p>a | b\nno | table</p>",
}
# A link is text: there is nothing to press, whatever it says.
LINKS = {
    "[here](https://example.org/a_b)": "here (https://example.org/a_b)",
    "[x](javascript:alert)": "x (javascript:alert)",
    "![x](data:image/svg+xml,y)": "x (data:image/svg+xml,y)",
    "[a\u2028b](c) [e\rf](g)": "a\u2028b (c) e\rf (g)",
    "<https://example.org> [a] (b) [c]()": "<https://example.org> [a] (b) [c]()",
}
# Texts for which a careless parser takes time that grows with the square of their length: hours for these.
LONG = {
    "stars": "*" * 1_000_000,
    "open strong": "**a " * 250_000,
    "open code": "`a\n" * 300_000 + "`" * 100_000,
    "open links": "[a](b" * 200_000,
    "brackets": "![" * 500_000,
    "tildes": "~" * 1_000_000 + "`",
    "an open fence": "```\n" + "x\n" * 400_000,
    "spaces": "-" + " " * 500_000 + "*" + " " * 500_000,
    "a wide and long table": "|a" * 20_000 + "\n" + "|-" * 20_000 + "\n" + "|\n" * 100_000,
    "steps": "".join(" " * n + "- a\n" for n in range(1000)),
}


def test_markdown_becomes_nodes(window):
    """Text that grows letter by letter becomes the same nodes as text that comes at once."""
    w = window()
    show = """([text, step]) => { const e = document.createElement('div'); const write = minitron.markdown.writer(e);
        for (let i = step; i < text.length; i += step) write(text.slice(0, i)); write(text); return e.innerHTML; }"""
    for text, want in MARKDOWN.items():
        assert w.page.evaluate(show, [text, 1]) == want
        assert w.page.evaluate(show, [text, 1000]) == want
    whole = "\n\n".join([*MARKDOWN, *LINKS]) + "\n```\n# no **heading**\n- here\n```"
    got = w.page.evaluate(show, [whole, 1])
    assert got == w.page.evaluate(show, [whole, 1000])
    assert "<code># no **heading**\n- here</code>" in got


def test_links_are_text(window):
    w = window()
    show = """(text) => { const e = document.createElement('div'); minitron.markdown.writer(e)(text);
        return [e.textContent, e.querySelectorAll('a, img, [href], [src]').length]; }"""
    for text, want in LINKS.items():
        assert w.page.evaluate(show, text) == [want, 0]


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_time_is_linear(window, text):
    """If it were not, the test would run into its time limit."""
    w = window()
    show = "(text) => { const e = document.createElement('div'); minitron.markdown.writer(e)(text); return e.childElementCount; }"
    assert w.page.evaluate(show, text) >= 1


def test_fences(window):
    w = window()
    show = """(text) => { const e = document.createElement('div'); minitron.markdown.writer(e)(text);
        return [...e.children].map((c) => (c.querySelector('pre') ?? c).textContent); }"""
    for text, want in {
        "a\n```py\nx = 1": ["a", "x = 1"],  # still open
        "````\n```\n````\nb": ["```", "b"],
        "~~~\n```\n~~~": ["```"],
        "~~~~ py~\n~~~\n~~~~": ["~~~"],
        "- a\n  ```\n  in\n    x\n  ```\n- b": ["a", "in\n  x", "b"],
        "```\n\n\n```\n``` x `y`": ["\n", "``` x y"],
    }.items():
        assert w.page.evaluate(show, text) == want
    w.ask("hello")
    w.page.evaluate("minitron.markdown.writer(document.querySelector('.theirs .text'))('```\\nx  = 1\\n\\ty\\n```')")
    w.page.get_by_label("Copy the code").click()
    w.until("document.getElementById('live').textContent === 'Copied'")
    assert w.page.evaluate("navigator.clipboard.readText()") == "x  = 1\n\ty"
