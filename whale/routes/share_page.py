"""The page of a share: a graph, until when it is answered, and nothing else. Without scripts it is a picture."""

import base64
import hashlib
from datetime import UTC, datetime
from html import escape

from whale.dimension import pk_text
from whale.formatting import day
from whale.share import Share

STYLE = """
:root { color-scheme: light dark; --ink: #15212b; --soft: #5b6873; --page: #f6f7f9 }
@media (prefers-color-scheme: dark) { :root:not([data-theme=light]) { --ink: #e7edf2; --soft: #9aa8b5; --page: #0f151b } }
:root[data-theme=light] { color-scheme: light }
:root[data-theme=dark] { color-scheme: dark; --ink: #e7edf2; --soft: #9aa8b5; --page: #0f151b }
* { box-sizing: border-box }
body { margin: 0; padding: 16px; color: var(--ink); background: var(--page); font: 14px/20px Inter, system-ui, sans-serif }
main { max-width: 720px; margin: 0 auto }
h1 { margin: 0 0 12px; font-size: 15px; font-weight: 600; overflow-wrap: anywhere }
p { margin: 12px 0 0; color: var(--soft); font-size: 12.5px }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
img { display: block; width: 100%; height: auto }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def render(share: Share, path: str, theme: str = "") -> str:
    """The page as HTML. path: of the share, below which it is answered.  theme: light, dark, or empty for that of the reader."""
    title = f"{', '.join(share.metrics)} of {pk_text(share.pk)}"
    short = title if len(share.metrics) == 1 else pk_text(share.pk)  # the metrics are buttons then
    depth = "&amp;depth=1" if share.drill else ""
    picture = f"{path}/plot.svg?size=full{depth}&amp;theme="
    dark = f'<source srcset="{picture}dark" media="(prefers-color-scheme: dark)">' if not theme else ""
    options = (
        (' depth="1"' if share.drill else "") + (f' theme="{theme}"' if theme else "") + f' title="{escape(short)}"'
    )
    return _page(
        title,
        f"""<h1 class="sr">{escape(title)}</h1>
<hail-whale-graph src="{path}"{options}>
<picture>{dark}<img src="{picture}{theme or "light"}" width="720" height="300" alt="{escape(title)}, {escape(share.period)}"></picture>
</hail-whale-graph>
<script type="module" src="/hail-whale-graph.js"></script>
<p>This link works until {_date(share.expires)}, or until its owner changes the secret that all links are signed with.</p>""",
        theme,
    )


def ended(expires: int) -> str:
    """The page of a share that was."""
    text = f"This link worked until {_date(expires)}. Ask whoever sent it for a new one."
    return _page("This share has ended", f"<h1>This share has ended</h1>\n<p>{text}</p>")


def missing() -> str:
    """The page of what is no share: it tells nothing about why."""
    return _page(
        "There is no such share", "<h1>There is no such share</h1>\n<p>Ask whoever sent the link for a new one.</p>"
    )


def _date(at: int) -> str:
    return f"{day(datetime.fromtimestamp(at, UTC))} UTC"


def _page(title: str, body: str, theme: str = "") -> str:
    chosen = f' data-theme="{theme}"' if theme else ""
    return f"""<!DOCTYPE html>
<html lang="en"{chosen}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
