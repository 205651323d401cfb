"""What text becomes on the page of `minitron-chat web`: nodes, never markup; a little Markdown. In headless Chromium."""

from browser import MARKUP


def test_text_never_becomes_markup(window):
    w = window()
    w.ask(MARKUP)
    assert w.said() == [MARKUP]
    text = f"{MARKUP}\n\n```html\n{MARKUP}\n```\nand `{MARKUP}` <script>alert(1)</script>"
    show = """(text) => { const e = document.createElement('div'); document.querySelector('.theirs .text').replaceChildren(e);
        const write = minitron.text.writer(e); for (let i = 1; i <= text.length; i++) write(text.slice(0, i)); return e.textContent; }"""
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
}


def test_markdown_becomes_nodes(window):
    """As it grows, letter by letter, and at the end the same as at once."""
    w = window()
    show = """([text, step]) => { const e = document.createElement('div'); const write = minitron.text.writer(e);
        for (let i = step; i < text.length; i += step) write(text.slice(0, i)); write(text); return e.innerHTML; }"""
    for text, want in MARKDOWN.items():
        assert w.page.evaluate(show, [text, 1]) == want
        assert w.page.evaluate(show, [text, 1000]) == want
    whole = "\n\n".join(MARKDOWN) + "\n```\n# no **heading**\n- here\n```"
    got = w.page.evaluate(show, [whole, 1])
    assert got == w.page.evaluate(show, [whole, 1000])
    assert "<code># no **heading**\n- here</code>" in got
