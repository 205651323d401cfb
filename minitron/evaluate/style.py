"""The report page's look: the chat page's colours and fonts (go_serve/internal/page/assets/style.css), light and dark, nothing to load.

Knows nothing about what it shows.
"""

STYLE = """
:root { color-scheme: light dark; --page: #fdfcfa; --box: #f5f2ec; --ink: #23201b; --soft: #665f54; --line: #e5dfd4;
  --c0: #1d6b58; --c1: #b4540a; --better: #1d6b58; --worse: #a3331f }
@media (prefers-color-scheme: dark) { :root { --page: #1a1917; --box: #242220; --ink: #ebe7df; --soft: #aba397;
  --line: #33302b; --c0: #7fd0b5; --c1: #f2a65a; --better: #7fd0b5; --worse: #f3a48f } }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.6 -apple-system, "Segoe UI Variable Text", "Segoe UI", Inter,
  Roboto, "Noto Sans", system-ui, sans-serif }
main { max-width: 60rem; margin: auto; padding: 1rem }
h1, h2, h3, p { overflow-wrap: anywhere }
h1 { margin: 0 0 .5rem } h2 { margin: 2.5rem 0 .5rem } h3 { margin: 0; font-size: .85rem; color: var(--soft) }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .5rem; margin: 0 }
dl div, article { background: var(--box); border-radius: .9rem; padding: .6rem .8rem }
dt { font-size: .8rem; color: var(--soft) } dd { margin: 0; font-size: 1.15rem; font-weight: 600 }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-size: .85rem }
th, td { text-align: left; vertical-align: top; padding: .25rem .5rem .25rem 0; border-bottom: 1px solid var(--line) }
tbody th { font-weight: 400 } .group th { font-weight: 600; padding-top: .9rem }
td { font-variant-numeric: tabular-nums; white-space: nowrap } .texts { min-width: 36rem }
.texts td, article p { white-space: pre-wrap; overflow-wrap: anywhere }
.better { color: var(--better) } .worse { color: var(--worse) } td.better, td.worse { font-weight: 600; white-space: normal }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.5rem }
figure { margin: .5rem 0; max-width: 36rem } figcaption { font-weight: 600 } svg { display: block; width: 100% }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft) } svg .label { fill: var(--ink) }
.grid { stroke: var(--line) } .curve { fill: none; stroke-width: 2 } .c0 { stroke: var(--c0); border-color: var(--c0) }
.c1 { stroke: var(--c1); border-color: var(--c1) } .curve.c1 { stroke-dasharray: 7 3 } .dot.c0, .bar.c0 { fill: var(--c0) }
.dot.c1, .bar.c1 { fill: var(--c1) } .bar { stroke: none } .guard { stroke: var(--worse); border-color: var(--worse); stroke-width: 1.5 }
.g0 { stroke-dasharray: 2 3 } .guard.g1 { stroke: var(--soft); border-color: var(--soft); stroke-dasharray: 10 4 }
.key.swatch { width: .8rem; height: .8rem; border: 0 } .swatch.c0 { background: var(--c0) } .swatch.c1 { background: var(--c1) }
ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .2rem 0; padding: 0; list-style: none; font-size: .85rem }
li { display: flex; align-items: center; gap: .4rem } .key { width: 1.75rem; border-width: 3px 0 0; border-style: solid }
.key.c1 { border-top-style: dashed } .key.g0 { border-top-style: dotted } .key.g1 { border-top-style: dashed }
details { margin: .5rem 0 } summary { cursor: pointer; font-weight: 600 }
article { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 13rem), 1fr)); gap: .8rem; margin: .6rem 0 }
article p { margin: .2rem 0 0; font-size: .9rem }
"""
