"""The oracle of visits: a walk through the events of each visitor. It imports nothing of HailWhale.

It is read from docs/http/following.md once more. Events are (visitor, tick, name), values (visitor, tick, property, text). A text is a
value as JSON; "null" is none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

NOTHING = "null"


@dataclass
class Visit:
    visitor: int
    events: list[tuple[int, str]]
    values: list[tuple[int, str, str]] = field(default_factory=list)

    def has(self, by: str) -> list[str]:
        """Its values of one thing, each as often as it came."""
        pages = [text for _, name, text in self.values if name == "page"]
        match by:
            case "event":
                return [name for _, name in self.events]
            case "page":
                return pages or [NOTHING]
            case "entry_page":
                return pages[:1] or [NOTHING]
            case "exit_page":
                return pages[-1:] or [NOTHING]
        return [text for _, name, text in self.values if name == by][:1] or [NOTHING]

    def times(self, event: str) -> int:
        return sum(name == event for _, name in self.events)


def visits(events: Sequence[Any], values: Sequence[Any], gap: int, start: int, end: int) -> list[Visit]:
    """Those that began in [start, end)."""
    found = []
    for visitor in sorted({event[0] for event in events}):
        several: list[Visit] = []
        for _, tick, name in sorted(event for event in events if event[0] == visitor):
            if not several or tick - several[-1].events[-1][0] > gap:
                several.append(Visit(visitor, []))
            several[-1].events.append((tick, name))
        for each in several:
            first, last = each.events[0][0], each.events[-1][0]
            mine = [value[1:] for value in values if value[0] == visitor and first <= value[1] <= last]
            each.values = sorted(mine, key=lambda value: (value[0], value[2]))
            if start <= first < end:
                found.append(each)
    return found


def passes(visit: Visit, by: str, texts: Iterable[str], is_not: bool) -> bool:
    return any(text in texts for text in visit.has(by)) != is_not


def numbers(some: Sequence[Visit], page: str, goal: str, worth: str) -> dict[str, int]:
    """page: "" where the site has no page views."""
    converted = [visit for visit in some if visit.times(goal)]
    return {
        "visitors": len({visit.visitor for visit in some}),
        "visits": len(some),
        "views": sum(visit.times(page) for visit in some),
        "bounces": sum((visit.times(page) if page else len(visit.events)) == 1 for visit in some),
        "took": sum(visit.events[-1][0] - visit.events[0][0] for visit in some),
        "converters": len({visit.visitor for visit in converted}),
        "converted": len(converted),
        "goals": sum(visit.times(goal) for visit in some),
        "worth": sum(_worth(visit, goal, worth) for visit in converted),
    }


def _worth(visit: Visit, goal: str, worth: str) -> int:
    """In millionths."""
    ticks = {tick for tick, name in visit.events if name == goal}
    return sum(
        int(text) * 1_000_000 for tick, name, text in visit.values if name == worth and tick in ticks and text.isdigit()
    )


def rows(some: Sequence[Visit], by: str, page: str, goal: str, worth: str) -> dict[str, dict[str, int]]:
    """By text. Views of pages are of each alone, and where events are rows how often each happened."""
    found = {}
    for text in {text for visit in some for text in visit.has(by)}:
        mine = [visit for visit in some if text in visit.has(by)]
        found[text] = numbers(mine, page, goal, worth)
        if by in ("page", "event"):
            found[text]["views"] = 0 if text == NOTHING else sum(visit.has(by).count(text) for visit in mine)
    return found


def other(some: Sequence[Visit], by: str, shown: Iterable[str], page: str, goal: str, worth: str) -> dict[str, int]:
    """All visits with a value that is in no row, each once."""
    texts = set(shown)
    hidden = [visit for visit in some if any(text not in texts for text in visit.has(by))]
    found = numbers(hidden, page, goal, worth)
    if by in ("page", "event"):
        found["views"] = sum(text not in texts and text != NOTHING for visit in hidden for text in visit.has(by))
    return found
