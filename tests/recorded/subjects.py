"""Every subject, and what is asked of it."""

from collections import Counter
from collections.abc import Callable, Iterable

from tests.recorded import command_line, library, over_http
from tests.recorded.records import Entry
from tests.recorded.world import fixed

_OVER_HTTP = (
    over_http.whale_series, over_http.whale_totals, over_http.whale_ranks, over_http.whale_names, over_http.whale_decisions,
    over_http.whale_counting, over_http.whale_flags, over_http.whale_defining, over_http.whale_doors, over_http.whale_keys,
    over_http.whale_at_random, over_http.hail_hits, over_http.hail_bodies, over_http.hail_doors, over_http.hail_keys,
)  # fmt: skip
_LIBRARY = (library.library_calls, library.library_class, library.library_fasttrack, library.library_names)
SUBJECTS: dict[str, Callable[[], Iterable[Entry]]] = {
    each.__name__: each for each in (*_OVER_HTTP, *_LIBRARY, command_line.command_line, command_line.settings_table)
}


def asked(subject: str) -> list[Entry]:
    """All answers of a subject, from the beginning; a request that comes again says which time it is."""
    times: Counter[str] = Counter()
    entries = []
    with fixed():
        for entry in SUBJECTS[subject]():
            times[entry.title] += 1
            count = times[entry.title]
            entries.append(entry if count == 1 else Entry(f"{entry.title}\n> (time {count})", entry.said))
    return entries
