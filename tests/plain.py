"""Plain English as a list of patterns: subject, verb, object; one fact a sentence.

Each pattern stands for a turn of phrase that readers stumbled over, and names a better one. Code is not read.
"""

import re

BLOCK = re.compile(r"^```.*?^```|^(?: {4}|\t).*?$|<pre>.*?</pre>", re.M | re.S)
SPAN = re.compile(r"`[^`\n]*`")
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n|\n\s*(?=[-#|*])|\s\|\s")
VERB = r"(?:is|are|was|were|has|had|have|it|they|you|we|a|an|the|no|nobody|never|came|comes|lies|speaks|[a-z]+s)"

RULES: dict[str, re.Pattern[str]] = {
    "name the thing instead of a clause with `what`": re.compile(
        rf"(?:^|[;:(|] ?)(?i:what(?:ever)?) (?!to\b|if\b)[^?]*$|\b(?:of|for|by|with|to|from|than|in|behind|and|or|,) what {VERB}\b[^?]*$"
    ),
    "told: shown, known, named, distinguished": re.compile(r"\btold\b", re.I),
    "bear: have, carry": re.compile(r"\bbears?\b", re.I),
    "left aside: ignored": re.compile(r"\bleft aside\b", re.I),
    "so many: the number, or as many as": re.compile(r"\bso (?:many|wide|old)\b(?!(?: \w+){0,3} that\b)", re.I),
    "he: they": re.compile(r"\b(?:he|his|him|himself)\b", re.I),
    "Of X: For X only": re.compile(r"^Of (?!course\b)|^of [^:]{1,40}:"),
    "none: Y: Omit for Y, or Default: Y": re.compile(
        r"(?:^|[;,.(] ?|\bor )(?:none|empty|null|beyond|full|several): ", re.I
    ),
}


def sentences(text: str) -> list[str]:
    """The sentences of a text or of a page of Markdown. Headings are left out, since they may ask."""
    bare = SPAN.sub("`x`", BLOCK.sub("", text))
    parts = (part.strip().lstrip("-|* ").strip() for part in SENTENCE.split(bare))
    return [part for part in parts if part and not part.startswith("#")]


def offences(text: str) -> list[str]:
    """Each sentence that is not plain, after its rule."""
    return [f"{rule}\n    {part}" for part in sentences(text) for rule, found in RULES.items() if found.search(part)]
