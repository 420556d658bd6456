"""The directory of accounts, keys and sites: whatever comes, all of it is taken or nothing."""

import hashlib
import hmac
import json
import tracemalloc
from typing import Any

import pytest

from hail.directory import (
    AT_ONCE,
    Account,
    Answer,
    Directory,
    DoesNotFit,
    Gone,
    Key,
    NotTaken,
    Scope,
    Site,
    Stale,
    State,
    TooLarge,
    Unsound,
    answer_of,
    read_record,
    record_of,
    state_of,
)

INTERNAL = "i" * 32
NOW = 1_795_300_800.0
ANN, BEN = "annannanna", "benbenbenb"
WORD, OTHER_WORD = "word-of-one-1", "word-of-two-2"
SECRETS = {letter: b"hw_%b_%b" % (letter.encode(), letter.encode() * 43) for letter in "wrab"}
HASHES = {letter: hashlib.sha256(secret).hexdigest() for letter, secret in SECRETS.items()}
WRITES = Key(HASHES["w"], "00000001", ANN, "write")
READS = Key(HASHES["r"], "00000002", BEN, "read", None, False, int(NOW) + 60)
BROWSES = Key(HASHES["b"], "00000003", ANN, "browser", "shop", True)
SHOP = Site(ANN, "shop", True, ("https://shop.example",), cross_site_cookie=True)
WHOLE = Answer(
    State(WORD, 7),
    None,
    [Account("default", "default"), Account(ANN, "ann")],
    [WRITES, BROWSES],
    [SHOP, Site(ANN, "blog")],
)


def signed(body: Any, key: str = INTERNAL) -> bytes:
    """A record as the docs describe it, of whatever is given."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    start = b"hwd1 %d" % len(text)
    own = hmac.digest(key.encode(), b"hailwhale:directory", "sha256")
    return start + b" " + hmac.digest(own, start + b"\n" + text, "sha256").hex().encode() + b"\n" + text


def shown(directory: Directory) -> Any:
    """All that is in a directory, in an order of its own."""
    answer = directory.answer()
    return answer.state, sorted(answer.accounts, key=str), sorted(answer.keys, key=str), sorted(answer.sites, key=str)


def taken(*answers: Answer) -> Directory:
    directory = Directory(1)
    for answer in answers:
        directory.take(answer)
    return directory


def test_a_record_says_what_was_written() -> None:
    record = record_of(WHOLE, INTERNAL)
    assert record.startswith(b"hwd1 ")
    assert record == signed(record.partition(b"\n")[2])
    assert answer_of(record, INTERNAL) == WHOLE


def test_the_form_is_the_one_of_the_docs() -> None:
    body: dict[str, Any] = {
        "state": [WORD, 7],
        "since": None,
        "accounts": [["default", "default", "UTC"], [ANN, "ann", "UTC"]],
        "keys": [
            [HASHES["w"], "00000001", ANN, "write", None, False, None],
            [HASHES["b"], "00000003", ANN, "browser", "shop", True, None],
        ],
        "sites": [
            [ANN, "shop", True, ["https://shop.example"], "referer", True, False, False, []],
            [ANN, "blog", False, [], "referer", False, False, False, []],
        ],
        "gone": [[], [], []],
    }
    assert answer_of(signed(body), INTERNAL) == WHOLE
    assert json.loads(record_of(WHOLE, INTERNAL).partition(b"\n")[2]) == body


def many(version: int, accounts: int = 2 * AT_ONCE + 1) -> Answer:
    """Accounts with a key and a site each, whose hashes depend on the version."""
    rows = [Account(f"a{number:09d}", f"name{number}") for number in range(accounts)]
    hashes = [hashlib.sha256(b"%d %d" % (version, number)).hexdigest() for number in range(accounts)]
    keys = [Key(hash_, "00000001", row.id, "write") for hash_, row in zip(hashes, rows, strict=True)]
    return Answer(State(WORD, version), None, rows, keys, [Site(row.id, "web") for row in rows])


def test_others_work_between_the_steps_of_a_large_one_and_see_all_or_nothing() -> None:
    first, second = many(1), many(2)
    pauses: list[str] = []
    record = record_of(second, INTERNAL, lambda: pauses.append("written"))
    assert record == record_of(second, INTERNAL)
    directory = Directory(10)
    directory.take(first)
    read = answer_of(record, INTERNAL, lambda: pauses.append("read"))
    assert read == second
    seen = set()
    directory.take(read, lambda: seen.add((directory.state, directory.answer() == first)))
    assert seen == {(State(WORD, 1), True)}
    assert directory.answer() == second
    assert {"written", "read"} <= set(pauses)


@pytest.mark.parametrize("rows", ["accounts", "keys", "sites"])
def test_a_row_that_is_none_makes_all_of_a_large_one_unsound(rows: str) -> None:
    body = json.loads(record_of(many(1), INTERNAL).partition(b"\n")[2])
    for bad in (None, [], [1, 2, 3, 4], {}, body[rows][0]):
        worse = {**body, rows: [*body[rows], bad]}
        with pytest.raises(Unsound):
            answer_of(signed(worse), INTERNAL)


def test_fields_that_a_later_version_adds_are_passed_over() -> None:
    body = json.loads(record_of(WHOLE, INTERNAL).partition(b"\n")[2])
    for rows in ("accounts", "keys", "sites"):
        body[rows] = [[*row, {"later": True}] for row in body[rows]]
    assert answer_of(signed({**body, "later": 1}), INTERNAL) == WHOLE


def test_a_site_of_an_earlier_version_has_no_cookies_of_pages_of_other_sites() -> None:
    body = json.loads(record_of(WHOLE, INTERNAL).partition(b"\n")[2])
    body["sites"] = [row[:5] for row in body["sites"]]
    found = answer_of(signed(body), INTERNAL)
    assert [(site.pk, site.cross_site_cookie) for site in found.sites] == [("shop", False), ("blog", False)]


def test_a_secret_leads_to_its_key() -> None:
    directory = taken(WHOLE)
    assert directory.key_of(SECRETS["w"], NOW) == WRITES
    assert directory.key_of(SECRETS["b"], NOW) == BROWSES
    assert directory.key_of(SECRETS["r"], NOW) is None
    assert directory.key_of(HASHES["w"].encode(), NOW) is None
    assert directory.key_of(b"", NOW) is None


def test_an_expired_key_is_none() -> None:
    directory = taken(Answer(State(WORD, 1), None, [Account(BEN, "ben")], [READS]))
    assert directory.key_of(SECRETS["r"], NOW + 59.9) == READS
    assert directory.key_of(SECRETS["r"], NOW + 60) is None


def test_names_and_sites_are_found() -> None:
    directory = taken(WHOLE)
    assert directory.account_named("ann") == Account(ANN, "ann")
    assert directory.account_named(ANN) is None
    assert directory.account(ANN) == Account(ANN, "ann")
    assert directory.site(ANN, "shop") == SHOP
    assert directory.site("default", "shop") is None
    assert len(directory) == 6


@pytest.mark.parametrize(
    ("site", "origin", "lists"),
    [
        (SHOP, "https://shop.example", True),
        (SHOP, "HTTPS://Shop.Example", True),
        (SHOP, "https://shop.example:8443", False),
        (SHOP, "http://shop.example", False),
        (SHOP, "null", False),
        (SHOP, "", False),
        (Site(ANN, "shop", False, ("https://shop.example",)), "https://shop.example", False),
        (Site(ANN, "shop", True, ("*",)), "https://anything.example", True),
        (Site(ANN, "shop", True), "https://shop.example", False),
        (Site(ANN, "shop", True, ("*",)), "null", False),
        (Site(ANN, "shop", True, ("null", "")), "null", False),
        (Site(ANN, "shop", True, ("null", "")), "", False),
    ],
)
def test_a_site_lists_its_pages(site: Site, origin: str, lists: bool) -> None:
    assert site.lists(origin) is lists


def test_what_belongs_to_no_account_is_not_found() -> None:
    directory = taken(Answer(State(WORD, 1), None, [Account(BEN, "ben")], [WRITES, READS], [SHOP]))
    assert directory.key_of(SECRETS["w"], NOW) is None
    assert directory.site(ANN, "shop") is None
    assert directory.key_of(SECRETS["r"], NOW) == READS


def test_a_delta_changes_its_rows_alone() -> None:
    directory = taken(WHOLE)
    closed = Site(ANN, "shop", False)
    directory.take(Answer(State(WORD, 9), 7, [Account(BEN, "ben")], [READS], [closed], Gone((), ((ANN, "00000001"),))))
    assert directory.state == (WORD, 9)
    assert directory.key_of(SECRETS["w"], NOW) is None
    assert directory.key_of(SECRETS["r"], NOW) == READS
    assert directory.key_of(SECRETS["b"], NOW) == BROWSES
    assert directory.site(ANN, "shop") == closed
    assert directory.site(ANN, "blog") == Site(ANN, "blog")


def test_an_account_that_is_gone_takes_its_keys_and_sites_with_it() -> None:
    directory = taken(WHOLE, Answer(State(WORD, 8), 7, gone=Gone((ANN,))))
    assert shown(directory) == ((WORD, 8), [Account("default", "default")], [], [])
    assert directory.account_named("ann") is None


def test_a_name_that_was_taken_anew_is_another_account() -> None:
    directory = taken(WHOLE, Answer(State(WORD, 9), 7, [Account(BEN, "ann")], [READS], gone=Gone((ANN,))))
    assert directory.account_named("ann") == Account(BEN, "ann")
    assert directory.key_of(SECRETS["w"], NOW) is None


def test_names_that_two_accounts_exchange_are_right_after_the_delta() -> None:
    both = Answer(State(WORD, 7), None, [Account(ANN, "ann"), Account(BEN, "ben")], [WRITES, READS])
    swapped = taken(both, Answer(State(WORD, 9), 7, [Account(ANN, "ben"), Account(BEN, "ann")]))
    assert swapped.account_named("ann") == Account(BEN, "ann")
    assert swapped.account_named("ben") == Account(ANN, "ben")
    assert swapped.key_of(SECRETS["w"], NOW) == WRITES
    assert swapped._room.held == taken(both)._room.held


def test_a_name_that_is_read_twice_while_it_moves_is_mended_by_the_next_delta() -> None:
    directory = taken(Answer(State(WORD, 7), None, [Account(ANN, "ann"), Account(BEN, "ann")], [WRITES]))
    directory.take(Answer(State(WORD, 9), 7, [Account(ANN, "anna"), Account(BEN, "ann")]))
    assert directory.account_named("anna") == Account(ANN, "anna")
    assert directory.account_named("ann") == Account(BEN, "ann")
    assert directory.key_of(SECRETS["w"], NOW) == WRITES


def test_a_key_with_another_secret_takes_the_place_of_the_one_before() -> None:
    directory = taken(WHOLE, Answer(State(WORD, 8), 7, [], [Key(HASHES["a"], "00000001", ANN, "admin")]))
    assert directory.key_of(SECRETS["w"], NOW) is None
    assert directory.key_of(SECRETS["a"], NOW) == Key(HASHES["a"], "00000001", ANN, "admin")


def test_a_renamed_account_leaves_its_name_free() -> None:
    directory = taken(WHOLE, Answer(State(WORD, 8), 7, [Account(ANN, "anna")]))
    assert directory.account_named("anna") == Account(ANN, "anna")
    assert directory.account_named("ann") is None
    assert directory.key_of(SECRETS["w"], NOW) == WRITES


def test_a_delta_and_the_whole_lead_to_the_same() -> None:
    delta = Answer(State(WORD, 9), 7, [Account(BEN, "ben")], [READS], [Site(BEN, "shop")], Gone((ANN,)))
    whole = Answer(
        State(WORD, 9), None, [Account(BEN, "ben"), Account("default", "default")], [READS], [Site(BEN, "shop")]
    )
    assert shown(taken(WHOLE, delta)) == shown(taken(whole))
    assert taken(WHOLE, delta)._room.held == taken(whole)._room.held


@pytest.mark.parametrize(
    "delta",
    [
        Answer(State(WORD, 9), 8, gone=Gone((ANN,))),
        Answer(State(WORD, 9), 6, gone=Gone((ANN,))),
        Answer(State(OTHER_WORD, 8), 7, gone=Gone((ANN,))),
    ],
)
def test_a_delta_of_another_state_does_not_fit(delta: Answer) -> None:
    directory = taken(WHOLE)
    before = shown(directory)
    with pytest.raises(DoesNotFit):
        directory.take(delta)
    assert shown(directory) == before
    with pytest.raises(DoesNotFit):
        Directory(1).take(delta)


def test_an_older_version_of_the_same_word_is_stale_and_another_word_is_taken_whole() -> None:
    directory = taken(WHOLE)
    with pytest.raises(Stale):
        directory.take(Answer(State(WORD, 6), None, [Account(BEN, "ben")]))
    assert directory.state == (WORD, 7)
    directory.take(Answer(State(OTHER_WORD, 1), None, [Account(BEN, "ben")], [READS]))
    assert shown(directory) == ((OTHER_WORD, 1), [Account(BEN, "ben")], [READS], [])


def test_what_is_too_large_is_not_taken_and_what_was_there_stays() -> None:
    many = [Account(f"{number:010d}", f"name{number}") for number in range(3000)]
    directory = taken(WHOLE)
    before = shown(directory)
    for answer in (Answer(State(WORD, 8), None, many), Answer(State(WORD, 8), 7, many)):
        with pytest.raises(TooLarge, match="at most 1000000 bytes"):
            directory.take(answer)
    assert shown(directory) == before


def test_a_full_directory_still_takes_rows_in_place_of_others() -> None:
    many = [Account(f"{number:010d}", f"name{number}") for number in range(2350)]
    directory = taken(Answer(State(WORD, 1), None, many))
    directory.take(Answer(State(WORD, 2), 1, many[:500]))
    directory.take(Answer(State(WORD, 3), 2, [], gone=Gone((many[0].id,))))
    assert len(directory) == 2349


def test_what_was_cut_off_is_not_taken() -> None:
    record = record_of(WHOLE, INTERNAL)
    for end in range(len(record)):
        with pytest.raises(Unsound):
            answer_of(record[:end], INTERNAL)


def test_what_was_changed_anywhere_is_not_taken() -> None:
    record = record_of(WHOLE, INTERNAL)
    for at in range(len(record)):
        for change in (1, 0x20, 0x80):
            changed = bytearray(record)
            changed[at] ^= change
            with pytest.raises(Unsound):
                answer_of(bytes(changed), INTERNAL)


def test_what_was_added_or_signed_by_another_is_not_taken() -> None:
    record = record_of(WHOLE, INTERNAL)
    for other in (
        record + b"x",
        b"x" + record,
        record + record,
        signed(b"{}", "j" * 32),
        record_of(WHOLE, "j" * 32),
        b"",
    ):
        with pytest.raises(Unsound):
            answer_of(other, INTERNAL)


def test_records_may_follow_each_other() -> None:
    delta = Answer(State(WORD, 8), 7, gone=Gone((ANN,)))
    data = record_of(WHOLE, INTERNAL) + record_of(delta, INTERNAL)
    first, end = read_record(data, 0, INTERNAL)
    assert (first, read_record(data, end, INTERNAL)) == (WHOLE, (delta, len(data)))
    with pytest.raises(Unsound):
        read_record(data, len(data), INTERNAL)


BODY = {"state": [WORD, 7], "accounts": [[ANN, "ann"]]}
KEY = [HASHES["w"], "00000001", ANN, "write", None, False, None]
SITE = [ANN, "shop", True, ["https://shop.example"], "referer"]


def changed(row: list[Any], at: int, value: Any) -> list[Any]:
    return [*row[:at], value, *row[at + 1 :]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"state":["word-of-one-1",7]',
        b'{"state":["word-of-one-1",7],"accounts":[["annannanna","\xff"]]}',
        b'{"state":["word-of-one-1",7],"accounts":[["annannanna","\\ud800"]]}',
        b"[" * 100_000,
        {"state": None},
        {"state": [WORD]},
        {"state": [WORD, -1]},
        {"state": [WORD, 2**53 + 1]},
        {"state": [WORD, 1.5]},
        {"state": [WORD, True]},
        {"state": ["short", 1]},
        {"state": ["a word of some", 1]},
        {"state": [7, 7]},
        {**BODY, "since": "7"},
        {**BODY, "since": 8},
        {**BODY, "since": -1},
        {**BODY, "accounts": {}},
        {**BODY, "accounts": [ANN]},
        {**BODY, "accounts": [[ANN]]},
        {**BODY, "accounts": [[ANN, "ann"], [ANN, "anna"]]},
        {**BODY, "accounts": [["ann", "ann"]]},
        {**BODY, "accounts": [["ann:ann:an", "ann"]]},
        {**BODY, "accounts": [[ANN, ""]]},
        {**BODY, "accounts": [[ANN, 1]]},
        *({**BODY, "keys": [changed(KEY, 0, hash_)]} for hash_ in ("", "0" * 63, "g" * 64, "A" * 64, None, 1)),
        *({**BODY, "keys": [changed(KEY, 1, id_)]} for id_ in ("", "0000000", "0000000g", "00000001\n", 1, None)),
        {**BODY, "keys": [changed(KEY, 2, None)]},
        *({**BODY, "keys": [changed(KEY, 3, scope)]} for scope in ("", "Write", "root", None, ["write"])),
        *({**BODY, "keys": [changed(KEY, 4, site)]} for site in ("", 1, ["shop"])),
        *({**BODY, "keys": [changed(KEY, 5, public)]} for public in (None, 0, "false")),
        *({**BODY, "keys": [changed(KEY, 6, expires)]} for expires in (-1, 1.5, "1", True, 2**60)),
        {**BODY, "keys": [KEY[:3]]},
        {**BODY, "keys": [KEY, KEY]},
        {**BODY, "keys": [KEY, changed(KEY, 0, HASHES["r"])]},
        *({**BODY, "sites": [changed(SITE, 1, pk)]} for pk in ("", None, ["shop"])),
        *({**BODY, "sites": [changed(SITE, 2, open_)]} for open_ in (None, 1, "true")),
        *(
            {**BODY, "sites": [changed(SITE, 3, origins)]}
            for origins in (None, "https://shop.example", [1], [["https://shop.example"]])
        ),
        *({**BODY, "sites": [changed(SITE, 4, pixels)]} for pixels in ("", "none", None, True)),
        {**BODY, "sites": [SITE, SITE]},
        {**BODY, "gone": [[ANN], [], []]},
        {**BODY, "since": 6, "gone": [ANN]},
        {**BODY, "since": 6, "gone": [[], ["no pair"], []]},
        {**BODY, "since": 6, "gone": [[], [[ANN]], []]},
        {**BODY, "since": 6, "gone": [[], [], [ANN]]},
    ],
    ids=lambda body: str(body)[:80],
)
def test_what_is_signed_and_wrong_is_not_taken(body: Any) -> None:
    with pytest.raises(Unsound):
        answer_of(signed(body), INTERNAL)


def test_no_message_shows_what_was_in_the_answer() -> None:
    for body in ({**BODY, "keys": [changed(KEY, 1, "visible!")]}, {**BODY, "keys": [changed(KEY, 3, "visible!")]}):
        with pytest.raises(NotTaken) as caught:
            answer_of(signed(body), INTERNAL)
        assert "visible" not in str(caught.value)


def test_ten_thousand_accounts_fit() -> None:
    ids = ["default", *(f"acc{number:07d}" for number in range(9_999))]
    hashes = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(30_000)]
    accounts = [Account(id_, f"customer-{id_}") for id_ in ids]
    scopes: tuple[Scope, ...] = ("write", "read", "browser")
    keys = [
        Key(hash_, hash_[:8], ids[number // 3], scopes[number % 3], "shop", number % 3 == 2, 2_000_000_000)
        for number, hash_ in enumerate(hashes)
    ]
    sites = [Site(id_, pk, True, (f"https://{pk}-{id_}.example",)) for id_ in ids for pk in ("shop", "blog")]
    record = record_of(Answer(State("w" * 22, 60_000), None, accounts, keys, sites), INTERNAL)
    assert len(record) < 10_000_000
    change = Answer(State("w" * 22, 60_001), 60_000, [accounts[1]], keys[3:6], sites[2:4])
    assert len(record_of(change, INTERNAL)) < 1_000
    tracemalloc.start()
    directory = Directory(64)
    directory.take(answer_of(record, INTERNAL))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.5 * directory._room.held < held < directory._room.held
    directory.take(change)
    assert len(directory) == 60_000


def test_names_that_only_whale_checks_leave_an_answer_sound() -> None:
    site = Site(ANN, "p" * 5000, True, ("https://" + "a" * 1000, "no origin", "*"))
    answer = Answer(State(WORD, 7), None, [Account(ANN, "_ann"), Account(BEN, "ä/{:}")], [], [site])
    assert answer_of(record_of(answer, INTERNAL), INTERNAL) == answer


def test_a_state_has_a_text() -> None:
    assert State(WORD, 7).text == "word-of-one-1.7"
    assert state_of("word-of-one-1.7") == State(WORD, 7)
    for text in (
        "",
        "7",
        WORD,
        f"{WORD}.",
        f"{WORD}.-1",
        f"{WORD}.07",
        f"{WORD}.7 ",
        f"{WORD}.{'9' * 17}",
        "a.7",
        ".7",
    ):
        assert state_of(text) is None
