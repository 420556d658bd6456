"""Which connections are closed: the one that has waited longest, whatever it waits for, and never one in work or a new one."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.connections import Bounds, Connection, Connections, Wait, peer_of
from hail.settings import load
from tests.laws import law

SECONDS = {Wait.HEAD: 10.0, Wait.BODY: 30.0, Wait.READER: 20.0, Wait.IDLE: 75.0}


class Named(Connection):
    def __init__(self, name: str, cuts: list[str], peer: str | None):
        super().__init__(peer)
        self.name, self.cuts = name, cuts

    def cut(self) -> None:
        self.cuts.append(self.name)


class Book(Connections):
    """Connections by name; a `cut` puts the name on a list, as `closed` does with the reason."""

    def __init__(self, connections: int = 100, of_a_peer: int = 100, held_bytes: int = 1000):
        self.cuts: list[str] = []
        self.whys: list[str] = []
        self.named: dict[str, Connection] = {}
        super().__init__(Bounds(connections, of_a_peer, held_bytes, SECONDS), self.whys.append)

    def new(self, name: str, now: float, peer: str | None = None) -> Connection:
        self.named[name] = connection = Named(name, self.cuts, peer)
        self.open(connection, now)
        return connection


def test_at_the_bound_the_one_that_has_waited_longest_is_closed_whatever_it_waits_for() -> None:
    book = Book(connections=4)
    for now, wait in enumerate(Wait):
        book.wait(book.new(wait, now), wait, 100 - now)  # the last one has waited longest
    for now, expected in enumerate(reversed(list(Wait)), 200):
        book.new(f"new {now}", now)
        assert book.cuts[-1] == expected
    assert len(book) == 4
    assert book.whys == ["connections"] * 4


def test_what_is_in_work_is_never_closed_and_a_new_one_is_never_turned_away() -> None:
    book = Book(connections=2, of_a_peer=2)
    for name in ("a", "b", "c"):
        book.work(book.new(name, 0, "10.0.0.1"))
    assert book.overloaded
    book.new("d", 1, "10.0.0.1")
    assert (book.cuts, len(book)) == ([], 4)
    book.new("e", 2, "10.0.0.1")
    assert (book.cuts, len(book)) == (["d"], 4)
    book.close_overdue(1e9)
    assert (book.cuts, len(book)) == (["d", "e"], 3)


def test_a_peer_makes_room_for_its_own_and_for_nobody_else() -> None:
    book = Book(of_a_peer=2)
    book.new("other", 0, "10.0.0.2")
    book.new("proxy", 0, None)
    for now, name in enumerate(("a", "b", "c", "d"), 1):
        book.new(name, now, "10.0.0.1")
    assert (book.cuts, book.whys) == (["a", "b"], ["peer", "peer"])
    for now in range(9):
        book.new(f"proxy {now}", now, None)
    assert len(book.cuts) == 2
    book.leave(book.named["c"])
    book.new("e", 9, "10.0.0.1")
    assert len(book.cuts) == 2


@pytest.mark.parametrize("wait", Wait)
def test_each_wait_has_its_time(wait: Wait) -> None:
    book = Book()
    book.wait(book.new("a", 0), wait, 50)
    book.close_overdue(50 + SECONDS[wait] - 0.001)
    assert book.cuts == []
    book.close_overdue(50 + SECONDS[wait])
    assert (book.cuts, book.whys, len(book)) == (["a"], [wait], 0)


def test_too_many_bytes_close_the_one_that_has_waited_longest_of_those_that_hold_more_than_their_share() -> None:
    book = Book(held_bytes=1000)
    book.hold(book.new("a head", 0), 10)  # its share of 1,000 bytes for 100 connections
    for now, name in enumerate(("a", "b", "c"), 1):
        book.wait(book.new(name, now), Wait.BODY, now)
        book.hold(book.named[name], 300)
    book.hold(book.named["a"], 50)
    assert (book.held, book.cuts) == (960, [])
    book.hold(book.named["a"], 100)  # it does not make room for itself
    assert (book.held, book.cuts, book.whys) == (760, ["b"], ["bytes"])
    book.work(book.named["a"])
    book.hold(book.named["a"], 900)
    assert (book.cuts, book.held, book.overloaded) == (["b", "c"], 1360, True)
    book.release(book.named["a"], 1350)
    assert not book.overloaded


def test_while_closed_ones_have_yet_to_end_only_those_wait_that_hold_more_than_their_share() -> None:
    book = Book(held_bytes=1000)
    hit, large, upload = (book.new(name, now) for now, name in enumerate(("a hit", "a large one", "an upload")))
    book.wait(upload, Wait.BODY, 0)
    book.hold(hit, 10)  # its share of 1,000 bytes for 100 connections
    book.hold(upload, 700)
    book.hold(large, 150)
    assert not any(map(book.must_wait, (hit, large, upload)))
    book.hold(large, 200)
    assert (book.cuts, book.going) == (["an upload"], 700)
    assert book.must_wait(large)
    assert not book.must_wait(hit)
    book.leave(upload)
    assert not book.must_wait(large)


def test_what_was_closed_is_not_counted_again() -> None:
    book = Book(connections=1)
    gone = book.new("a", 0, "10.0.0.1")
    book.hold(gone, 10)
    book.new("b", 1)
    for _ in range(2):  # its greenlet goes on for a moment
        book.wait(gone, Wait.IDLE, 2)
        book.hold(gone, 10)
        book.release(gone, 10)
        book.leave(gone)
    assert (len(book), book.held, book.cuts) == (1, 0, ["a"])


STEPS = st.tuples(st.sampled_from(["new", "work", "hold", "leave", *Wait]), st.integers(0, 11), st.integers(1, 400))


@law(100)
@given(st.lists(STEPS, max_size=60))
def test_the_bounds_hold_whatever_comes(steps: list[tuple[str, int, int]]) -> None:
    book = Book(connections=5, of_a_peer=3, held_bytes=1000)
    for now, (step, place, size) in enumerate(steps):
        names = [name for name in book.named if name not in book.cuts]
        in_work = [name for name in names if book.named[name].waits is None]
        waiting = sorted((name for name in names if name not in in_work), key=lambda name: book.named[name].since)
        before = len(book.cuts)
        if step == "new":
            book.new(f"c{now}", now, f"peer {place % 2}" if place < 8 else None)
        elif names:
            name = names[place % len(names)]
            if step == "work":
                book.work(book.named[name])
            elif step == "hold":
                book.hold(book.named[name], size)
            elif step == "leave":
                book.leave(book.named.pop(name))
            else:
                book.wait(book.named[name], Wait(step), now)
        cut = book.cuts[before:]
        assert not set(cut) & set(in_work)
        assert f"c{now}" not in cut
        if book.whys[before:] == ["connections"]:
            assert cut == waiting[:1]
        open_ = [connection for name, connection in book.named.items() if name not in book.cuts]
        assert len(book) == len(open_)
        assert book.held == sum(connection.held for connection in open_)
        waits = sum(connection.waits is not None for connection in open_)
        assert len(open_) <= 5 or waits <= 1
        for peer in ("peer 0", "peer 1"):
            own = [connection.waits for connection in open_ if connection.peer == peer]
            assert len(own) <= 3 or sum(wait is not None for wait in own) <= 1


def test_one_customer_is_one_peer_and_proxies_are_none() -> None:
    trusted = [ip_network("10.1.0.0/16"), ip_network("2001:db8:1::/48")]
    assert peer_of("192.0.2.7", trusted) == "192.0.2.7"
    assert peer_of("::ffff:192.0.2.7", trusted) == "192.0.2.7"
    assert peer_of("2001:db8::1", trusted) == peer_of("2001:db8::2:3:4:5", trusted) == "2001:db8::/64"
    assert peer_of("fe80::1%eth0", trusted) == "fe80::/64"
    for nobody in ("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "10.1.2.3", "2001:db8:1::9", ""):
        assert peer_of(nobody, trusted) is None


def test_bounds_are_settings() -> None:
    environ = {"HEAD_TIMEOUT_S": "1", "BODY_TIMEOUT_S": "2", "SEND_TIMEOUT_S": "3", "MAX_CONNECTIONS": "4"}
    environ |= {"MAX_CONNECTIONS_A_PEER": "5", "CONNECTIONS_MAX_MB": "6"}
    settings = load({f"HAILWHALE_{name}": value for name, value in environ.items()})
    seconds = {Wait.HEAD: 1.0, Wait.BODY: 2.0, Wait.READER: 3.0, Wait.IDLE: 75.0}
    assert Bounds.of(settings, 75) == Bounds(4, 5, 6_000_000, seconds)
