"""The plain page at `/`: what is counted, and how to send a hit. One document, nothing loaded from anywhere."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from shlex import quote

from whale.dimension import pk_text
from whale.formula import Number
from whale.library.overview import Row

STYLE = """
:root { color-scheme: light dark; --ink: #14202b; --soft: #5a6a78; --line: #d9e0e6;
  --back: #fff; --box: #f4f7f9; --blue: #0b63a5 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9aa9b6; --line: #2c3a46; --back: #10171d; --box: #18222b; --blue: #6cb6f2 }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 56rem; color: var(--ink); background: var(--back);
  font: 1rem/1.5 system-ui, sans-serif }
h1 { margin: 0; font-size: 1.5rem } h2 { margin: 2.25rem 0 .5rem; font-size: 1.1rem }
p { margin: .25rem 0 } .soft { color: var(--soft) }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: .875rem }
th, td { padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th:nth-child(2), td:nth-child(2) { text-align: right; white-space: nowrap; padding-right: 1.5rem }
td { overflow-wrap: anywhere } td:first-child { min-width: 8rem; white-space: pre-wrap }
td.child { padding-left: 1.25rem } a { color: var(--blue) }
.metric { display: inline-block; margin: 0 1rem 0 0 } .number { white-space: nowrap }
@media (max-width: 40rem) {
  tr { display: grid; grid-template-columns: 1fr auto; gap: 0 1rem; border-bottom: 1px solid var(--line) }
  th, td, th:nth-child(2), td:nth-child(2) { border: 0; padding-right: 0 } td:nth-child(3) { grid-column: 1 / -1; padding-top: 0 }
  td.child + td + td { padding-left: 1.25rem } th:nth-child(3), td:empty { display: none }
}
pre { margin: .25rem 0 1rem; padding: .75rem; overflow-x: auto; background: var(--box); border: 1px solid var(--line);
  border-radius: 6px; font: .85rem/1.5 ui-monospace, monospace }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

SET = "(set)"


def render(rows: Sequence[Row], more: int, hail_url: str, whale_url: str, needs_keys: bool) -> str:
    """The page as HTML. rows: a parent before its children.  more: top pks that are not shown."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>HailWhale</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>HailWhale</h1>
<p class="soft">The first pks and their numbers today. Below: <a href="#send">send a hit</a>, <a href="#ask">ask</a>.</p>
<h2>Counted</h2>
{_table(rows, more) if rows else "<p>Nothing yet. The first line below counts a hit.</p>"}
<h2 id="send">Send a hit</h2>
{_shell(_curl(hail_url + "/count", needs_keys, pk="shop", dimensions='{"country": "US"}', metrics='{"revenue": 9.5}'))}
<p>From a web page, without a script:</p>
<pre tabindex="0">{escape(f'<img src="{hail_url}/count.gif?pk=shop&dimensions=pages" alt="" width="1" height="1">')}</pre>
<h2 id="ask">Ask</h2>
<p>The days of a month, for each country:</p>
{_shell(_curl(whale_url + "/plotpoints", needs_keys, pk="shop", dimensions="country", depth="1", metrics="revenue"))}
<p>Sums of a period, and a ratio:</p>
{_shell(_curl(whale_url + "/totals", needs_keys, pk="shop", metrics='["revenue", "revenue/hits"]', period="today"))}
</main>
</body>
</html>
"""


def _table(rows: Sequence[Row], more: int) -> str:
    body = "\n".join(map(_row, rows))
    tail = f'\n<p class="soft">and {more:,} more: <code>GET /pks</code> lists all.</p>' if more else ""
    if any(row.was_set for row in rows):
        tail += f'\n<p class="soft">{SET}: this day or its month was set to another number. These are the sums of its hours.</p>'
    titles = "".join(f'<th scope="col">{title}</th>' for title in ("pk", "hits today", "metrics today"))
    head = f"<thead><tr>{titles}</tr></thead>"
    return f"<table>\n{head}\n<tbody>\n{body}\n</tbody>\n</table>{tail}"


def _row(row: Row) -> str:
    others = "".join(
        f'<span class="metric">{_shown(name)} <span class="number">{_number(value)}</span></span>'
        for name, value in row.today.items()
        if name != "hits" and value is not None
    )
    name = _shown(row.pk[0] if len(row.pk) == 1 else pk_text(row.pk))
    if row.more:
        name += f' <span class="soft">and {row.more:,} more below</span>'
    if row.was_set:
        name += f' <span class="soft">{SET}</span>'
    css = ' class="child"' if len(row.pk) > 1 else ""
    return f"<tr><td{css}>{name}</td><td>{_number(row.today.get('hits', 0))}</td><td>{others}</td></tr>"


def _shown(name: str) -> str:
    """A name as text; what cannot be seen is written out, and blanks at an end stand in quotes."""
    if name != name.strip():
        name = f'"{name}"'
    return escape("".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name))


def _number(value: Number) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6f}".rstrip("0").rstrip(".")


def _curl(url: str, needs_keys: bool, **parameters: str) -> str:
    key = ' \\\n  -H "Authorization: Bearer $KEY"' if needs_keys else ""
    fields = "".join(f" \\\n  --data-urlencode {quote(f'{name}={value}')}" for name, value in parameters.items())
    return f"curl -G {quote(url)}{key}{fields}"


def _shell(line: str) -> str:
    return f'<pre tabindex="0">{escape(line)}</pre>'
