"""The page with the form by which a user logs in. It runs no script, and loads nothing."""

import base64
import hashlib
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #15212b; --soft: #5b6873; --page: #f6f7f9; --card: #fff; --line: #8a96a1; --deep: #0b5cad }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7edf2; --soft: #9aa8b5; --page: #0f151b; --card: #18212a; --line: #6b7883; --deep: #8cc4ff }
}
* { box-sizing: border-box }
body { margin: 0; padding: 16px; color: var(--ink); background: var(--page); font: 16px/24px Inter, system-ui, sans-serif }
main { max-width: 360px; margin: 10vh auto 0; padding: 24px; background: var(--card); border-radius: 8px }
h1 { margin: 0 0 16px; font-size: 20px }
label { display: block; margin: 12px 0 4px; font-size: 14px }
input, button { width: 100%; font: inherit; border-radius: 4px }
input { padding: 8px; color: inherit; background: transparent; border: 1px solid var(--line) }
button { margin-top: 20px; padding: 10px; color: var(--page); background: var(--deep); border: 0; font-weight: 600 }
:focus-visible { outline: 2px solid var(--deep); outline-offset: 2px }
p { margin: 12px 0 0; color: var(--soft); font-size: 13px }
p[role=alert] { color: var(--ink); border-left: 3px solid #d08700; padding-left: 8px; font-size: 14px }
"""
POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def render(said: str, name: str, path: str) -> str:
    """HTML. said: why nobody was let in; empty at first.  name: that came.  path: where to go on."""
    alert = f'<p role="alert">{escape(said)}</p>' if said else ""
    focus, then = ("", " autofocus") if name else (" autofocus", "")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Log in to HailWhale</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>Log in</h1>
{alert}
<form method="post" action="/login">
<input type="hidden" name="next" value="{escape(path)}">
<label for="name">Name</label>
<input id="name" name="name" value="{escape(name)}" autocomplete="username" autocapitalize="none" spellcheck="false" required{focus}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required{then}>
<button>Log in</button>
</form>
<p>The name is that of an account, or account/user.</p>
</main>
</body>
</html>
"""
