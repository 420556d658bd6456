"""Recorded answers as text: one file a subject, one block an answer.

    @ GET /total?pk=shop          the request; `> ` before its headers and its body
    200 ~0 ~3                     the status, and those of its headers that stand at the head of the file
    Content-Type: text/plain      each other header; a Content-Length only where it is not the body's
    12.5                          the body; of a long one its length, its hash and its beginning
    published: ...                each message that Hail handed on

MASKED is the whole list of what is not compared.
"""

import difflib
import hashlib
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.wsgi import Answer

FILES = Path(__file__).parent / "files"
WHOLE, BEGINNING = 420, 300
LONG, AGAIN = re.compile(r"[0-9]+ characters, sha256 [0-9a-f]{24}:"), " as before"
PROBLEM = re.compile(r'\{"type":"urn:hailwhale:(\w+)","title":"([^"]*)","status":([0-9]+),')
READABLE = re.compile(r"%(?:5B|5D|7B|7D|22|27|2C|3A|2F|28|29|7C|3C|3E)")
MASKED: dict[str, tuple[re.Pattern[str], Any]] = {
    "ETag": (re.compile(r'^(Etag: )".*"$', re.M), r"\1*"),
    "as_of": (re.compile(r'("as_of": ?)"[^"]*"'), r'\1"*"'),
    "durations": (
        re.compile(r'"ms":[0-9.e-]+|"stages_ms":\{[^}]*\}'),
        lambda found: re.sub(r":[0-9.e-]+", ":*", found[0]),
    ),
    "new visitors": (re.compile(r'("visitor_id":"|Set-Cookie: v=)[0-9a-f]{32}'), r"\1*"),
    "secrets of keys": (re.compile(r"(hw_[wrab]_)[A-Za-z0-9_-]{6,}"), r"\1*"),
    "speed": (re.compile(r"[0-9.]+ s, [0-9,]+ rows/s"), "* s, * rows/s"),
    "version": (re.compile(r'("version": ?)"[0-9][^"]*"|(version )[0-9][0-9.a-z+]*'), r"\1\2*"),
}


@dataclass(frozen=True)
class Entry:
    """title: what was asked, which no two of a subject have alike.  said: the answer."""

    title: str
    said: str

    @property
    def text(self) -> str:
        return f"@ {self.title}\n{self.said}\n"


def in_place(text: str) -> str:
    """Without the folders of this machine."""
    for folder, name in ((os.path.realpath("."), "HERE"), (os.getcwd(), "HERE"), (sys.prefix, "PREFIX")):
        text = text.replace(folder, name)
    return text


def masked(text: str) -> str:
    for pattern, instead in MASKED.values():
        text = pattern.sub(instead, text)
    return text


def problem_shortened(text: str, status: int) -> str:
    """The same, where a problem's type, title, status and code say the same: `{problem bad_pk,"detail":...,"field":...}`."""
    found = PROBLEM.match(text)
    if not found or (found[2], found[3]) != (found[1].replace("_", " "), str(status)):
        return text
    code = f',"code":"{found[1]}"'
    rest = text[found.end() :]
    return f"{{problem {found[1]}," + rest.replace(code, "", 1) if rest.count(code) == 1 else text


def shortened(text: str) -> str:
    if len(text) <= WHOLE:
        return text
    return f"{len(text)} characters, sha256 {hashlib.sha256(text.encode()).hexdigest()[:24]}:\n{text[:BEGINNING]}"


def on_lines(text: str) -> str:
    """Text without line breaks and controls of its own, so that each block stays a block."""
    return "".join(letter if letter.isprintable() else f"\\{ord(letter):x};" for letter in text)


def http_entry(
    method: str, path: str, query: str, sent: dict[str, str], body: bytes, answer: Answer, more: list[str]
) -> Entry:
    """more: lines below the answer, as of what was published."""
    title = on_lines(f"{method} {path}" + (f"?{READABLE.sub(lambda code: unquote(code[0]), query)}" if query else ""))
    title += "".join(f"\n> {name}: {on_lines(value)}" for name, value in sorted(sent.items()))
    if body:
        title += "\n> " + shortened(on_lines(body.decode("latin-1"))).replace("\n", " ")
    shown = {
        name: value
        for name, value in answer.headers.items()
        if (name, value) != ("Content-Length", str(len(answer.body)))
    }
    headers = "\n".join(f"{name}: {on_lines(value)}" for name, value in sorted(shown.items()))
    said = masked(answer.body.decode("latin-1" if b"GIF89a" in answer.body[:6] else "utf-8"))
    lines = [str(answer.status), masked(headers)]
    if said:
        lines.append(shortened(problem_shortened(on_lines(said), answer.status)))
    return Entry(title, "\n".join([*lines, *(f"published: {on_lines(line)}" for line in more)]))


def usual_of(entries: list[Entry]) -> list[str]:
    """Header lines that many answers have: written once, at the head of the file."""
    lines = Counter(
        line for entry in entries for line in set(entry.said.split("\n")) if re.match(r"[A-Z][\w-]*: ", line)
    )
    return sorted(line for line, count in lines.items() if count > max(3, len(entries) // 4))


def file_text(entries: list[Entry]) -> str:
    usual = usual_of(entries)
    head = "".join(f"~{number} {line}\n" for number, line in enumerate(usual))
    short = {line: f"~{number}" for number, line in enumerate(usual)}
    blocks: list[str] = []
    begun: dict[str, str] = {}
    for entry in entries:
        lines, kept, seen = _once(entry.said.split("\n"), begun), [], []
        for line in lines:
            if line in short:
                seen.append(short[line])
            else:
                kept.append(line)
        if seen:
            kept[0] += " " + " ".join(seen)
        blocks.append(f"@ {entry.title}\n" + "\n".join(kept) + "\n")
    return head + "".join(blocks)


def read_entries(text: str) -> list[Entry]:
    """The entries of a file, with the usual lines back in their places."""
    head, *blocks = re.split(r"^@ ", text, flags=re.M)
    usual = dict(line.split(" ", 1) for line in head.splitlines())
    begun: dict[str, str] = {}
    return [_entry(block, usual, begun) for block in blocks]


def _once(lines: list[str], begun: dict[str, str]) -> list[str]:
    """The beginning of a long body is written where it comes first."""
    kept: list[str] = []
    for line in lines:
        if kept and LONG.fullmatch(kept[-1]):
            if begun.get(kept[-1]) == line:
                kept[-1] += AGAIN
                continue
            begun[kept[-1]] = line
        kept.append(line)
    return kept


def _twice(lines: list[str], begun: dict[str, str]) -> list[str]:
    """The same, read back."""
    whole: list[str] = []
    for line in lines:
        if whole and LONG.fullmatch(whole[-1]):
            begun[whole[-1]] = line
        if line.endswith(AGAIN) and LONG.fullmatch(line.removesuffix(AGAIN)):
            first = line.removesuffix(AGAIN)
            whole += [first, begun[first]]
        else:
            whole.append(line)
    return whole


def _entry(block: str, usual: dict[str, str], begun: dict[str, str]) -> Entry:
    lines = block.rstrip("\n").split("\n")
    count = 1
    while count < len(lines) and lines[count].startswith("> "):
        count += 1
    title, said = "\n".join(lines[:count]), _twice(lines[count:], begun)
    if said:
        first, *marks = said[0].split(" ~")
        said = [first, *(usual[f"~{mark}"] for mark in marks), *said[1:]]
    return Entry(title, "\n".join(said))


def write(subject: str, entries: list[Entry]) -> None:
    FILES.mkdir(exist_ok=True)
    (FILES / f"{subject}.txt").write_text(file_text(entries), encoding="utf-8", newline="\n")


def recorded(subject: str) -> list[Entry]:
    path = FILES / f"{subject}.txt"
    return read_entries(path.read_text(encoding="utf-8")) if path.exists() else []


def differences(before: list[Entry], now: list[Entry]) -> Iterator[str]:
    """What differs, each with its request."""
    known, found = {entry.title: entry for entry in before}, {entry.title: entry for entry in now}
    for title in known.keys() - found.keys():
        yield f"@ {title}\nis recorded, and was not asked"
    for title, entry in found.items():
        if title not in known:
            yield f"@ {title}\nis not recorded; it answers:\n{entry.said}"
        elif sorted(known[title].said.split("\n")) != sorted(entry.said.split("\n")):
            lines = difflib.unified_diff(
                known[title].said.split("\n"), entry.said.split("\n"), "recorded", "now", lineterm="", n=1
            )
            yield f"@ {title}\n" + "\n".join(lines)
