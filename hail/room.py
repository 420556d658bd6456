"""Room: what a process holds for later, in bytes. Every cache, buffer and queue keeps its book here, under a bound that is a setting.

A Room is only the book: whoever owns it adds what he takes, and forgets or refuses where it is full. `Bounded` is the one cache on
top of it: the oldest leaves first. Bytes are told by hand from what is kept (`COST` for a small object and its place), since asking
Python for them costs more than to keep it; tests hold the sums against the memory of the process.

What is held is shown on /metrics (metrics.py), by name; programs without /metrics write it to a file (whale/held.py).
"""

import ctypes
import functools
import gc
import resource
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

COST = 200
PAGE_BYTES = resource.getpagesize()
MEGABYTE = 1_000_000
WIDE = 4  # bytes of each letter of a text, where one is an emoji
M_ARENA_MAX, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -8, -1, -3  # of glibc's malloc.h
LARGEST_MAPPED, FREED = 32 << 20, 64 << 20
GARBAGE_S = 20.0
NEW_OBJECTS = 20_000
KNOWN_KEYS = msgspec.json.encode(
    {str(key): 0 for key in range(4096)}
)  # of which msgspec keeps as many as it keeps of any

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
C = TypeVar("C", bound="functools._lru_cache_wrapper[Any]")


class Room:
    """The book of one cache, buffer or queue. For one thread at a time, or under a lock of its owner."""

    __slots__ = ("__weakref__", "held", "most", "name")

    def __init__(self, name: str, most: float):
        """most: bytes."""
        self.name, self.most, self.held = name, int(most), 0
        _rooms.add(self)

    @property
    def is_full(self) -> bool:
        return self.held > self.most

    def fits(self, size: int) -> bool:
        return self.held + size <= self.most


_rooms: "weakref.WeakSet[Room]" = weakref.WeakSet()
_caches: "weakref.WeakSet[Bounded[Any, Any]]" = weakref.WeakSet()


class Bounded(Generic[K, V]):
    """A cache of at most so many bytes: what was kept first leaves first. For many threads."""

    def __init__(self, name: str, most: float, size_of: Callable[[K, V], int]):
        self._room, self._size_of = Room(name, most), size_of
        self._entries: dict[K, tuple[V, int]] = {}
        self._lock = threading.Lock()
        self.was_asked = True
        _caches.add(self)

    def get(self, key: K) -> V | None:
        self.was_asked = True
        entry = self._entries.get(key)
        return entry[0] if entry else None

    def keep(self, key: K, value: V) -> None:
        """Remembers a value, unless it alone is larger than all may be."""
        size = self._size_of(key, value)
        with self._lock:
            self._drop(key)
            if size > self._room.most:
                return
            while not self._room.fits(size):
                self._drop(next(iter(self._entries)))
            self._entries[key] = value, size
            self._room.held += size

    def renew(self, key: K) -> None:
        """Makes a key the last that leaves."""
        with self._lock:
            if key in self._entries:
                self._entries[key] = self._entries.pop(key)

    def drop(self, key: K) -> None:
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._room.held = 0

    def values(self) -> Iterator[V]:
        return (value for value, _ in list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def held(self) -> int:
        return self._room.held

    def _drop(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry:
            self._room.held -= entry[1]


_calendars: "list[functools._lru_cache_wrapper[Any]]" = []


def calendar(remembering: C) -> C:
    """Of a function with an lru_cache: it is emptied where the process gives back its memory."""
    _calendars.append(remembering)
    return remembering


def _all_of(some: "weakref.WeakSet[T]") -> list[T]:
    """What is in a set to which other threads add meanwhile; a lock would stay shut in a child that is forked while it is held."""
    while True:
        try:
            return list(some)
        except RuntimeError:  # one was added
            continue


def held() -> dict[str, tuple[int, int]]:
    """By name: bytes that this process holds, and how many it may."""
    found: dict[str, tuple[int, int]] = {}
    for room in _all_of(_rooms):
        bytes_, most = found.get(room.name, (0, 0))
        found[room.name] = bytes_ + room.held, most + room.most
    return dict(sorted(found.items()))


def rest() -> None:
    """Clears the caches that nobody asked since the last rest, and hands freed memory to the system."""
    for cache in _all_of(_caches):
        if not cache.was_asked:
            cache.clear()
        cache.was_asked = False
    give_back()


def resident_bytes() -> int:
    """What this process has in memory; 0 where the system does not tell as Linux does."""
    try:
        with open("/proc/self/statm", "rb") as numbers:
            return int(numbers.read().split()[1]) * PAGE_BYTES
    except OSError:
        return 0


def few_arenas() -> None:
    """As MALLOC_ARENA_MAX=2 in the environment: of many threads each might keep an arena of freed memory (glibc)."""
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    if option is not None:
        option(M_ARENA_MAX, 2)


@functools.cache
def keep_freed() -> None:
    """For a process that makes large arrays and frees them again and again: up to FREED bytes stay with it (glibc), until `rest`.

    Else the system takes each array back and fills the next one with zeros: of a question about 2 million events a quarter of the time.
    """
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    if option is not None:
        option(M_MMAP_THRESHOLD, LARGEST_MAPPED)
        option(M_TRIM_THRESHOLD, FREED)


def few_collections() -> None:
    """For a program that makes many objects at once, few of which refer to themselves: Python looks for those less often.

    An apply of 10,000 hits of 1,000 accounts took half of its time for that, at Python's own 700 new objects.
    """
    gc.set_threshold(NEW_OBJECTS, 10, 10)


def give_back() -> None:
    """Hands freed memory to the system, where the C library is one that keeps it (glibc); and empties the calendars.

    Python hands its own back by the megabyte, so a name that was kept by the way while memory was full keeps one. Such names are let
    go: those that types were asked for (each time others, where a library in C asks), and keys that msgspec read.
    """
    for remembering in _calendars:
        remembering.cache_clear()
    clear = getattr(sys, "_clear_internal_caches", None) or getattr(sys, "_clear_type_cache", None)
    if clear is not None:
        clear()
    msgspec.json.decode(KNOWN_KEYS)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


_garbage_at = 0.0


def look_for_garbage(at: float) -> None:
    """Before memory is given back: frees what refers to itself, and the objects that Python keeps to make others of.

    at: seconds of a clock that never goes back. It looks at all objects, so once in GARBAGE_S in a process, however many ask.
    """
    global _garbage_at
    if at >= _garbage_at:
        _garbage_at = at + GARBAGE_S
        gc.collect()
