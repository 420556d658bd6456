"""What every store promises of talks with visitors: who is told what, what is kept and for how long, and who listens."""

import msgspec

from hail.settings import Settings
from tests.contract.conftest import open_store
from tests.contract.hits import NOW
from tests.existing import make_accounts
from tests.servers import wait_until
from whale.accounts import Act
from whale.store.base import Store
from whale.store.contract.talks import Page

ANN, BOB = ("shop", "ann"), ("shop", "bob")
ODD = 'it\'s "a" /pa:th?%2F {1}\x00\n ü \u2028'


def texts(store: Store, account: str, where: tuple[str, str], after: int = 0) -> list[bytes]:
    return [each.data for each in store.talk(account, where, after)]


def test_a_talk_has_what_both_said_in_its_order(store: Store, unique: str) -> None:
    first = store.say(unique, ANN, True, b'{"text": "a b"}')
    second = store.say(unique, ANN, False, b'{"text":"\xc3\xbc"}')
    assert second > first
    assert [tuple(each) for each in store.talk(unique, ANN)] == [
        (first, True, b'{"text": "a b"}'),
        (second, False, b'{"text":"\xc3\xbc"}'),
    ]
    assert texts(store, unique, ANN, first) == [b'{"text":"\xc3\xbc"}']
    assert store.talk(unique, ANN, second) == []


def test_nobody_hears_the_talk_of_another_visitor_site_or_account(store: Store, unique: str) -> None:
    others = [
        (unique, BOB),
        (unique, ("other", "ann")),
        (f"{unique}b", ANN),
        (unique, (ODD, ODD)),
        (unique, ("s", "hopann")),
    ]
    store.say(unique, ANN, True, b"1")
    assert all(store.talk(*each) == [] for each in others)
    for each in others:
        store.say(*each, False, b"2")
    assert texts(store, unique, ANN) == [b"1"]
    assert texts(store, unique, (ODD, ODD)) == [b"2"]


def test_what_comes_twice_by_one_word_of_one_side_is_said_once(store: Store, unique: str) -> None:
    first = store.say(unique, ANN, True, b"1", "word-1")
    assert store.say(unique, ANN, True, b"1", "word-1") == first
    assert store.say(unique, ANN, False, b"2", "word-1") > first
    assert store.say(unique, ANN, True, b"3") != store.say(unique, ANN, True, b"3")
    assert texts(store, unique, ANN) == [b"1", b"2", b"3", b"3"]


def test_a_talk_is_bounded_in_bytes_and_forgets_the_oldest(settings: Settings, unique: str) -> None:
    store = open_store(settings.replace(push_visitor_kb=1))
    for number in range(20):
        store.say(unique, ANN, True, b"%02d" % number + b"x" * 98)
    # an id of 13 digits, three spaces and the side: 117 bytes each
    assert [text[:2] for text in texts(store, unique, ANN)] == [b"%02d" % number for number in range(12, 20)]
    store.say(unique, ANN, True, b"y" * 5000)
    assert texts(store, unique, ANN) == [b"y" * 5000]


def test_the_talks_of_an_account_are_bounded_and_the_one_that_was_silent_goes(settings: Settings, unique: str) -> None:
    store = open_store(settings.replace(push_talks=3))
    for visitor in "abc":
        store.say(unique, ("shop", visitor), True, visitor.encode())
        a_ms_later(store, unique, ("shop", visitor))
    store.say(unique, ("shop", "a"), True, b"again")
    store.say(f"{unique}b", ("shop", "a"), True, b"of another account")
    store.say(unique, ("other", "d"), True, b"d")
    assert [texts(store, unique, ("shop", visitor)) for visitor in "abc"] == [[b"a", b"again"], [], [b"c"]]
    assert store.talks(unique, "shop", 10).keys() == {"a", "c"}


def test_strangers_who_talk_push_out_nothing_that_was_said_to_others(settings: Settings, unique: str) -> None:
    store = open_store(settings.replace(push_talks=3))
    store.say(unique, ANN, False, b"an answer")
    a_ms_later(store, unique, ANN)
    store.say(unique, BOB, True, b"a question")
    store.say(unique, BOB, False, b"its answer")
    store.say(unique, BOB, True, b"thanks")
    for number in range(20):
        store.say(unique, ("shop", f"stranger {number}"), True, b"spam")
        a_ms_later(store, unique, ("shop", f"stranger {number}"))
    assert texts(store, unique, ANN) == [b"an answer"]
    assert texts(store, unique, BOB) == [b"a question", b"its answer", b"thanks"]
    assert len(store.talks(unique, "shop", 10)) == 3
    store.say(unique, ("shop", "carl"), False, b"a third")
    a_ms_later(store, unique, ("shop", "carl"))
    store.say(unique, ("shop", "dora"), False, b"a fourth")
    assert store.talks(unique, "shop", 10).keys() == {"bob", "carl", "dora"}
    store.say(unique, ("shop", "eve"), True, b"a question")
    assert store.talks(unique, "shop", 10).keys() == {"carl", "dora", "eve"}
    store.forget_talks(unique, "shop")
    store.say(unique, ("shop", "stranger"), True, b"spam")
    assert [*store.talks(unique, "shop", 10)] == ["stranger"]


def a_ms_later(store: Store, account: str, where: tuple[str, str]) -> None:
    """So that the next word is of another ms than the last one of a talk."""
    last = store.talk(account, where)[-1].id
    wait_until(lambda: store.say(f"{account}-clock{last}", ANN, True, b"") > last, what="a ms")


def test_talks_are_listed_by_their_last_words(store: Store, unique: str) -> None:
    store.say(unique, ANN, True, b"1")
    store.say(unique, ANN, False, b"2")
    a_ms_later(store, unique, ANN)
    store.say(unique, BOB, True, b"3")
    store.say(unique, ("other", "eve"), True, b"4")
    found = store.talks(unique, "shop", 10)
    assert [(visitor, said.by_visitor, said.data) for visitor, said in found.items()] == [
        ("bob", True, b"3"),
        ("ann", False, b"2"),
    ]
    assert [*store.talks(unique, "shop", 1)] == ["bob"]
    assert store.talks(unique, "none", 10) == {}


def test_talks_go_with_their_visitor_and_their_site(store: Store, unique: str) -> None:
    for where in (ANN, BOB, ("other", "ann")):
        store.say(unique, where, True, b"1")
    store.forget_talks(unique, "shop", ["ann", "nobody"])
    assert (texts(store, unique, ANN), texts(store, unique, BOB)) == ([], [b"1"])
    store.forget_talks(unique, "shop")
    assert store.talks(unique, "shop", 10) == {}
    assert texts(store, unique, BOB) == []
    assert texts(store, unique, ("other", "ann")) == [b"1"]


def test_they_go_with_their_account(store: Store, unique: str) -> None:
    accounts = [unique, f"{unique}-b"]
    make_accounts(store, *accounts)
    for account in accounts:
        store.say(account, ANN, True, b"1")
        store.listen(account, [Page("shop", "ann", "p")], 100.0)
    gone = store.account_with(accounts[0])
    assert gone
    store.remove_entry(gone, Act(0, "a test", "remove account", gone.id, gone.name))

    def is_free() -> bool:
        store.free_accounts(NOW)
        return not store.talk(gone.id, ANN) and not store.listening(gone.id, "shop")

    wait_until(is_free, what="what the account said to be freed")
    assert texts(store, accounts[1], ANN) == [b"1"]


def test_a_talk_ends_a_while_after_the_last_word(settings: Settings, unique: str) -> None:
    if not settings.redis_url:
        return  # the one in memory has no clock
    store = open_store(settings.replace(push_kept_s=0.5))
    store.say(unique, ANN, True, b"1")
    wait_until(lambda: not store.talk(unique, ANN) and not store.talks(unique, "shop", 10), what="the talk to end")


def test_pages_that_listen_are_known_by_visitor(store: Store, unique: str) -> None:
    store.listen(unique, [Page("shop", "ann", "1"), Page("shop", "ann", "2"), Page("shop", "anna", "1")], 100.0)
    store.listen(unique, [Page("shop", "ann", "1"), Page("other", "ann", "1"), Page(ODD, ODD, "1")], 100.0)
    assert store.listening(unique, "shop") == {"ann": 2, "anna": 1}
    assert store.listening(unique, "shop", "ann") == {"ann": 2}
    assert store.listening(unique, "shop", "an") == store.listening(f"{unique}b", "shop") == {}
    assert store.listening(unique, ODD, ODD) == {ODD: 1}
    store.listen_no_more(unique, Page("shop", "ann", "1"))
    store.listen_no_more(unique, Page("shop", "bob", "1"))
    assert store.listening(unique, "shop") == {"ann": 1, "anna": 1}


def test_a_page_whose_service_was_killed_goes_when_another_one_says_who_listens(
    settings: Settings, unique: str
) -> None:
    if not settings.redis_url:
        return  # as above
    store = open_store(settings)
    store.listen(unique, [Page("shop", "ann", "killed")], 0.2)

    def is_known_no_more() -> bool:
        store.listen(unique, [Page("shop", "bob", "1")], 100.0)
        return store.listening(unique, "shop") == {"bob": 1}

    wait_until(is_known_no_more, what="the page to go")


def test_everybody_who_hears_is_told_that_there_is_more(store: Store, unique: str) -> None:
    store.tell_more(unique, ANN)
    with store.hearing_talks() as first, store.hearing_talks() as second, store.hearing_talks() as deaf:
        for hearing in (first, second):
            hearing.hear("")
        store.tell_more(unique, (ODD, "ann"))

        def heard(hearing: object) -> list[str]:
            while told := hearing.next(10.0):  # type: ignore[attr-defined]  # others of this server talk too
                found: list[str] = msgspec.json.decode(told[1])
                if found[0] == unique:
                    return found
            raise AssertionError("nothing was heard")

        assert heard(first) == heard(second) == [unique, ODD, "ann"]
        assert deaf.next(0.05) is None
