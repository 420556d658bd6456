"""Notes of people on the time axis, in every store."""

import pytest

from hail.settings import Settings
from tests.contract.conftest import open_store
from tests.contract.hits import NOW
from whale.errors import CallerError
from whale.store.base import Store
from whale.store.contract.timeline import MOST_NOTES, Note

ODD = 'it\'s "a" /no:te?%2F {1}\x00\n \u2028 ü 🚀'
MS = int(NOW) * 1000


def notes(store: Store, account: str) -> list[Note]:
    return store.notes_between(account, -(10**13), 10**14)


def test_notes_are_kept_by_time(store: Store, settings: Settings, unique: str) -> None:
    assert notes(store, unique) == []
    later, first = Note("b", MS + 1, ("shop", "berlin"), "release 4"), Note(ODD, MS, None, ODD)
    same_time, long_ago = Note("a", MS + 1, (ODD,), ""), Note("c", -(2 * 10**12), None, "1906")
    for note in (later, first, same_time, long_ago):
        store.write_note(unique, note, True)
    assert notes(store, unique) == [long_ago, first, same_time, later]
    assert store.notes_between(unique, MS, MS + 1) == [first]
    assert store.notes_between(unique, MS + 1, MS + 1) == []
    assert notes(store, f"{unique}-other") == []
    if settings.redis_url:
        assert notes(open_store(settings), unique) == [long_ago, first, same_time, later]


def test_the_same_note_again_changes_nothing_and_another_one_is_refused(store: Store, unique: str) -> None:
    note = Note("a", MS, ("shop",), "release 4")
    store.write_note(unique, note, True)
    store.write_note(unique, note, True)
    store.write_note(unique, Note("a", MS + 5000, ("shop",), "release 4"), False)  # sent again, and nobody named a time
    others = [
        (Note("a", MS + 5000, ("shop",), "release 4"), True),
        (Note("a", MS, ("shop",), "release 5"), False),
        (Note("a", MS, None, "release 4"), False),
    ]
    for other, is_timed in others:
        with pytest.raises(CallerError) as caught:
            store.write_note(unique, other, is_timed)
        assert caught.value.field == "id"
    assert notes(store, unique) == [note]


def test_past_the_bound_the_earliest_goes_and_never_the_new_one(store: Store, unique: str) -> None:
    for at in range(MOST_NOTES):
        store.write_note(unique, Note(f"n{at}", MS + at, None, "x"), True)
    assert [len(notes(store, unique)), notes(store, unique)[0].id] == [MOST_NOTES, "n0"]
    store.write_note(unique, Note("n0", MS, None, "x"), True)  # it is there: nothing goes
    assert notes(store, unique)[0].id == "n0"
    old = Note("old", 0, None, "x")
    store.write_note(unique, old, True)
    assert [note.id for note in notes(store, unique)[:2]] == ["old", "n1"]
    assert len(notes(store, unique)) == MOST_NOTES


def test_a_note_is_erased_by_its_id(store: Store, unique: str) -> None:
    for id in ("a", ODD):
        store.write_note(unique, Note(id, MS, None, "x"), True)
    assert store.erase_note(unique, ODD)
    assert not store.erase_note(unique, ODD)
    assert not store.erase_note(unique, "never")
    assert [note.id for note in notes(store, unique)] == ["a"]
    store.write_note(unique, Note(ODD, MS, None, "y"), True)
    assert len(notes(store, unique)) == 2


def test_a_reset_of_a_pk_forgets_its_notes_and_those_below_it(store: Store, unique: str) -> None:
    pks = {"all": None, "shop": ("shop",), "berlin": ("shop", "berlin"), "shopping": ("shopping",)}
    for id, pk in pks.items():
        store.write_note(unique, Note(id, MS, pk, "x"), True)
    store.reset(unique, ("shop",), ("country",), NOW)
    assert len(notes(store, unique)) == 4
    store.reset(unique, ("shop",), None, NOW)
    assert [note.id for note in notes(store, unique)] == ["all", "shopping"]
    store.write_note(unique, Note("shop", MS, ("shop",), "after"), True)
    assert len(notes(store, unique)) == 3
