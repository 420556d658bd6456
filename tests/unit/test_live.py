"""Live streams of many accounts: who may look at which, for how long, and that nobody is told of another account."""

import base64
import json
from dataclasses import replace
from itertools import count
from typing import Any

import msgspec
import pytest

import hail.signed
from hail.message import ACCOUNT
from hail.settings import Settings, load
from tests.wsgi import Answer, call
from whale.accounts import ALL, Account, Act, Key, Rights, Site, User, new_key, revoked
from whale.client import Whale
from whale.errors import Unavailable
from whale.events import Event
from whale.live import admission
from whale.live.admission import CONNECT_S, Admitted, Looker, admitted, token_of
from whale.live.relay import Relay
from whale.live.standing import ended, may_still
from whale.live.viewers import ALL_REPLAYED_BYTES, ENDED, LINGER_S, Full, Viewer, Viewers
from whale.live.web import make_app as make_live
from whale.passwords import Cost, Passwords
from whale.sessions import SESSION_S
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = 1_795_000_000.0
ACT = Act(1, "test", "add", "", "")
PASSWORD = "korrekt pferd"
SHOP, CAFE = "shopshopsh", "cafecafeca"
KEYS = {"WRITE_KEY": "w" * 16, "READ_KEY": "r" * 16, "ADMIN_KEY": "a" * 16, "SECRET": "s" * 32}
INTERNAL = {"INTERNAL_KEY": "i" * 32, "WHALE_URL": "http://127.0.0.1:8086", "SECRET": "s" * 32}
OWN = {"HTTP_ORIGIN": "http://127.0.0.1:8086"}
FORM = {"CONTENT_TYPE": "application/x-www-form-urlencoded", **OWN}


class Farm:
    """Whale and live over one store: the owners of three accounts, and in `shop` those whose rights their names say."""

    def __init__(self, **settings: str):
        self.settings = load({f"HAILWHALE_{name}": value for name, value in settings.items()})
        self.store, self.now, self.made = MemoryStore(self.settings), NOW, count(1)
        self.passwords = Passwords(lambda size: next(self.made).to_bytes(size, "big"), cost=Cost(64, 1))
        self.whale = make_app(self.settings, Whale(self.store, self.settings, clock=self.clock), self.passwords)
        short = self.settings.replace(live_stream_s=0.0)  # a stream ends as soon as it has begun
        self.viewers = Viewers(short, lambda: "run")
        self.relay = Relay(short, self.viewers, lambda: self.store, self.clock)
        self.relay._store, self.relay._hears, self.relay._looks = self.store, True, True
        self.relay._heard = frozenset((ACCOUNT, SHOP, CAFE))
        self.live = make_live(short, self.viewers, self.relay, self.clock)
        for id_, name in ((SHOP, "shop"), (CAFE, "cafe")):
            self.store.add_entry(Account(id_, name, "UTC", 1), ACT)
        for account in (ACCOUNT, SHOP, CAFE):
            self.store.add_entry(self.user(account, "", ALL), ACT)
        self.store.add_entry(self.user(SHOP, "counter", Rights(counts="read")), ACT)
        self.store.add_entry(self.user(SHOP, "decider", Rights(decisions="write", admin="write")), ACT)

    def clock(self) -> float:
        return self.now

    def user(self, account: str, name: str, rights: Rights, password: str = PASSWORD) -> User:
        return User(account, name, self.passwords.hash(password), rights, 1)

    def key(self, account: str, scope: str, site: str | None = None, **given: Any) -> tuple[Key, dict[str, str]]:
        """With the header that shows it."""
        key, secret = new_key(account, scope, site, bytes([next(self.made)]) * 36, self.now, **given)
        self.store.add_entry(key, ACT)
        return key, {"HTTP_AUTHORIZATION": f"Bearer {secret}"}

    def look(self, pk: str = "", **environ: str) -> Answer:
        return call(self.live, "GET", "/live", {"pk": pk} if pk else None, **environ)

    def way_in(self, **environ: str) -> Answer:
        return call(self.whale, "GET", "/live_token", HTTP_HOST="127.0.0.1:8086", **environ)

    def by_token(self, token: str, **environ: str) -> int:
        return call(self.live, "GET", "/live", {"token": token}, **environ).status

    def cookie(self, name: str) -> dict[str, str]:
        form = f"name={name}&password={PASSWORD.replace(' ', '+')}".encode()
        answer = call(self.whale, "POST", "/login", body=form, **FORM)
        return {"HTTP_COOKIE": answer.headers["Set-Cookie"].partition(";")[0]}

    def looker(self, **environ: str) -> Looker:
        return admitted(self.way_in(**environ).json["token"], self.settings, self.now).looker

    def may(self, looker: Looker) -> bool:
        return may_still(looker, self.store, self.now)


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture(params=[KEYS, INTERNAL, {"SECRET": "s" * 32}], ids=["keys", "internal", "keyless"])
def farm(request: pytest.FixtureRequest) -> Farm:
    return Farm(**request.param)


def event(pk: str | None, text: str, kind: str = "hit") -> Event:
    return Event(kind, (pk,) if pk else None, msgspec.Raw(json.dumps({"text": text}).encode()))


# Who may look


def test_keys_and_users_look_at_their_own_account(farm: Farm) -> None:
    read, admin = (farm.key(CAFE, scope)[1] for scope in ("read", "admin"))
    for shown, account in (
        (read, CAFE),
        (admin, CAFE),
        (basic("cafe"), CAFE),
        (basic("shop/counter"), SHOP),
        (basic("default"), ACCOUNT),
        (farm.cookie("shop/counter"), SHOP),  # behind one address with Whale
    ):
        answer = farm.look("web", **shown)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8"), shown
        assert farm.viewers.accounts[-1] == account
        farm.viewers.tell_totals(0.0)
        farm.viewers.tell_totals(LINGER_S)


def test_nobody_looks_without_the_right_to_read_counts(farm: Farm) -> None:
    farm.store.add_entry(Site(SHOP, "web", open=True, origins=("https://shop.example",)), ACT)
    assert farm.look(**basic("shop/decider")).json["code"] == "not_allowed"
    assert farm.way_in(**basic("shop/decider")).status == 403
    for scope, site in (("write", None), ("browser", "web")):
        assert farm.look(**farm.key(SHOP, scope, site)[1]).status == 401
    ended_key, shown = farm.key(SHOP, "read")
    farm.store.change_entry(ended_key, revoked(ended_key, int(farm.now)), ACT)
    assert farm.look(**shown).status == 401
    assert farm.look(**basic("shop", "wrong horse")).status == 401
    assert farm.viewers.accounts == []


def test_without_a_key_only_this_machine_looks_and_only_where_none_is_set(farm: Farm) -> None:
    is_open = not (farm.settings.read_key or farm.settings.internal_key)
    assert farm.look().status == (200 if is_open else 401)


def test_a_key_of_one_site_looks_at_its_pks_and_hears_no_refusal_without_a_pk(farm: Farm) -> None:
    _, shown = farm.key(SHOP, "read", "web")
    assert farm.look("web", **shown).status == 200
    assert farm.look('["web", "home"]', **shown).status == 200
    for pk in ("", "other", '["other", "web"]'):
        assert farm.look(pk, **shown).json["code"] == "not_allowed"
    one = farm.viewers.open(Looker(SHOP, "hash"), ("web",), limited=True)
    other = farm.viewers.open(Looker(SHOP), ("web",))
    farm.viewers.tell(SHOP, [event("web", "ours"), event(None, "unread", "refused")], 0.0)
    assert texts(one) == ["ours"]
    assert texts(other) == ["ours", "unread"]
    again = farm.viewers.open(Looker(SHOP, "hash"), ("web",), "run-0", limited=True)
    assert texts(again) == ["ours"]


def test_a_token_opens_the_account_of_whoever_asked_for_it(farm: Farm) -> None:
    _, key = farm.key(CAFE, "read")
    for shown, expected in (
        (farm.cookie("shop/counter"), SHOP),
        (farm.cookie("default"), ACCOUNT),
        (basic("cafe"), CAFE),
        (key, CAFE),
    ):
        said = farm.way_in(**shown).json
        assert said["url"] == "http://127.0.0.1:8087/live"
        assert admitted(said["token"], farm.settings, NOW).looker.account == expected
        assert farm.by_token(said["token"], **OWN) == 200
        assert farm.by_token(said["token"], HTTP_ORIGIN="https://evil.example") == 403
        farm.now += CONNECT_S
        assert farm.by_token(said["token"], **OWN) == 401
        farm.now -= CONNECT_S


def test_the_token_of_one_account_is_no_token_of_another_one(farm: Farm) -> None:
    token = farm.way_in(**basic("shop")).json["token"]
    text, _, mac = token.partition(".")
    said = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    forged = base64.urlsafe_b64encode(said.replace(SHOP.encode(), CAFE.encode())).decode().rstrip("=")
    assert farm.by_token(f"{forged}.{mac}") == 401
    assert farm.by_token(token) == 200


def test_an_account_that_nobody_has_gets_no_stream(farm: Farm) -> None:
    gone = token_of(farm.settings, Looker("nobodyever"), "127.0.0.1:8086", NOW)
    assert farm.by_token(gone) == 401


def test_without_any_secret_there_is_no_token_and_no_way_in() -> None:
    settings = load({})
    farm = Farm()
    assert farm.way_in(**basic("shop")).json == {"url": None, "token": None, "expires": None, "spy": True}
    assert farm.way_in().json["url"] == "http://127.0.0.1:8087/live"
    with pytest.raises(ValueError, match="no key is set"):
        token_of(settings, Looker(SHOP), "h", NOW)
    assert farm.by_token("x.y") == 401


# How long they may


def test_a_session_that_is_logged_out_may_look_no_more_and_another_one_may(farm: Farm) -> None:
    cookie = farm.cookie("shop/counter")
    first = farm.looker(**cookie)
    farm.now += 1
    second = farm.looker(**farm.cookie("shop/counter"))
    assert [farm.may(each) for each in (first, second)] == [True, True]
    token = farm.way_in(**cookie).json["token"]
    assert call(farm.whale, "POST", "/logout", **FORM, **cookie).status == 303
    assert [farm.may(each) for each in (first, second)] == [False, True]
    assert farm.by_token(token) == 401
    at_once = farm.looker(**farm.cookie("shop/counter"))
    assert farm.may(at_once)


def test_who_logs_in_again_within_the_second_may_look(farm: Farm) -> None:
    cookie = farm.cookie("shop")
    assert call(farm.whale, "POST", "/logout", **FORM, **cookie).status == 303
    again = farm.cookie("shop")
    assert again != cookie
    assert farm.may(farm.looker(**again))


def test_a_forged_cookie_logs_nobody_out(farm: Farm) -> None:
    cookie = farm.cookie("shop")
    forged = {"HTTP_COOKIE": cookie["HTTP_COOKIE"][:-2] + "xx"}
    assert call(farm.whale, "POST", "/logout", **FORM, **forged).status == 303
    assert farm.may(farm.looker(**cookie))
    assert farm.store.logged_out(SHOP) == frozenset()


def test_a_session_ends_with_its_time(farm: Farm) -> None:
    looker = farm.looker(**farm.cookie("shop"))
    farm.now = NOW + SESSION_S - 1
    assert farm.may(looker)
    farm.now = NOW + SESSION_S
    assert not farm.may(looker)


@pytest.mark.parametrize("way", ["password", "right", "user", "account"])
@pytest.mark.parametrize("shown", ["cookie", "basic"])
def test_streams_of_a_user_end_with_password_right_user_and_account(way: str, shown: str) -> None:
    farm = Farm(**KEYS)
    looker = farm.looker(**(farm.cookie("shop/counter") if shown == "cookie" else basic("shop/counter")))
    others = [farm.looker(**basic("shop")), farm.looker(**basic("cafe")), Looker(ACCOUNT)]
    assert ended([looker, *others], farm.store, farm.now) == []
    user = next(each for each in farm.store.users(SHOP) if each.name == "counter")
    match way:
        case "password":
            farm.store.change_entry(user, farm.user(SHOP, "counter", user.rights, "another horse"), ACT)
        case "right":
            farm.store.change_entry(user, replace(user, rights=Rights(decisions="write")), ACT)
        case "user":
            farm.store.remove_entry(user, ACT)
        case "account":
            account = farm.store.account_with(SHOP)
            assert account
            farm.store.remove_entry(account, ACT)
    gone = [looker, others[0]] if way == "account" else [looker]
    assert ended([looker, *others], farm.store, farm.now) == gone


def test_streams_of_a_key_end_when_it_is_revoked_expires_or_is_removed() -> None:
    farm = Farm(**KEYS)
    (one, first), (two, second), (_, third) = (
        farm.key(CAFE, "read"),
        farm.key(CAFE, "admin"),
        farm.key(CAFE, "read", expires_s=int(NOW) + 100),
    )
    lookers = [farm.looker(**shown) for shown in (first, second, third)]
    assert [each.user for each in lookers] == [None] * 3
    farm.store.change_entry(one, revoked(one, int(NOW)), ACT)
    farm.store.remove_entry(two, ACT)
    assert ended(lookers, farm.store, NOW) == lookers[:2]
    assert ended(lookers, farm.store, NOW + 100) == lookers


def test_while_the_store_is_away_nobody_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    farm = Farm(**KEYS)
    looker = farm.looker(**basic("shop/counter"))
    token = farm.way_in(**basic("shop/counter")).json["token"]

    def away(*_: object) -> Any:
        raise Unavailable("Redis: it is away")

    monkeypatch.setattr(farm.store, "user_named", away)
    assert ended([looker], farm.store, NOW) == []
    assert farm.by_token(token) == 200


# What they are told


def texts(viewer: Viewer) -> list[str]:
    """Of the events that wait."""
    lines = viewer.take().decode().splitlines()
    return [json.loads(line.removeprefix("data: "))["text"] for line in lines if line.startswith("data: ")]


@pytest.fixture
def viewers() -> Viewers:
    words = count(1)
    return Viewers(
        load({"HAILWHALE_LIVE_MAX_VIEWERS": "6", "HAILWHALE_LIVE_ACCOUNT_VIEWERS": "2"}), lambda: f"run{next(words)}"
    )


def test_each_account_is_told_of_itself_alone_by_numbers_of_its_own(viewers: Viewers) -> None:
    shop, cafe = (viewers.open(Looker(account), ()) for account in (SHOP, CAFE))
    viewers.tell(SHOP, [event("web", f"shop {number}") for number in range(3)], 0.0)
    viewers.tell(CAFE, [event("web", "cafe"), event(None, "of no pk", "refused")], 0.0)
    viewers.tell("nobodyever", [event("web", "nobody's")], 0.0)
    assert texts(shop) == ["shop 0", "shop 1", "shop 2"]
    sent = cafe.take().decode()
    assert "shop" not in sent
    assert "id: run2-1\n" in sent  # nobody can count the events of others
    assert viewers.looked == {SHOP: [()], CAFE: [()]}


def test_whoever_comes_back_with_a_number_of_another_account_gets_nothing_of_it(viewers: Viewers) -> None:
    first, second = (viewers.open(Looker(account), ()) for account in (SHOP, CAFE))
    viewers.tell(SHOP, [event("web", "shop")], 0.0)
    viewers.tell(CAFE, [event("web", "cafe")], 0.0)
    viewers.close(first)
    viewers.close(second)
    for last in ("run1-0", "run2-0", "run2-1", "-", "run2-x", "run2-"):
        again = viewers.open(Looker(CAFE), (), last)
        assert texts(again) == (["cafe"] if last == "run2-0" else [])
        viewers.close(again)


def test_a_busy_account_slows_down_no_other_one(viewers: Viewers) -> None:
    shop, cafe = (viewers.open(Looker(account), ()) for account in (SHOP, CAFE))
    viewers.tell(SHOP, [event("web", "x")] * 500, 0.0)
    viewers.tell(CAFE, [event("web", "cafe")], 0.0)
    assert (len(texts(shop)), texts(cafe)) == (50, ["cafe"])


def test_one_account_has_its_share_of_streams_and_default_may_have_all(viewers: Viewers) -> None:
    opened = [viewers.open(Looker(SHOP), ()) for _ in range(2)]
    with pytest.raises(Full) as full:
        viewers.open(Looker(SHOP), ())
    assert full.value.most == 2
    opened += [viewers.open(Looker(ACCOUNT), ()) for _ in range(4)]
    with pytest.raises(Full) as full:
        viewers.open(Looker(ACCOUNT), ())
    assert full.value.most == 6
    for each in opened:
        viewers.close(each)
        viewers.close(each)
    assert len(viewers) == 0
    assert viewers.open(Looker(SHOP), ())


def test_who_may_look_no_more_is_sent_away_and_nobody_else(viewers: Viewers) -> None:
    anna, ben = Looker(SHOP, user="anna", mark="a"), Looker(SHOP, user="ben", mark="b")
    opened = [viewers.open(looker, ()) for looker in (anna, ben)]
    other = viewers.open(anna._replace(account=CAFE), ())
    assert viewers.lookers == {anna, ben, other.looker}
    viewers.end_of(anna)
    assert [each.ended for each in (*opened, other)] == [ENDED, "", ""]
    viewers.tell(SHOP, [event("web", "later")], 0.0)
    assert [texts(each) for each in opened] == [[], ["later"]]


def test_what_nobody_comes_back_for_is_let_go(viewers: Viewers) -> None:
    viewer = viewers.open(Looker(SHOP), ())
    viewers.tell(SHOP, [event("web", "x" * 1000)], 0.0)
    viewers.close(viewer)
    viewers.tell_totals(10.0)
    assert viewers.accounts == [SHOP]
    viewers.tell_totals(10.0 + LINGER_S)
    assert (viewers.accounts, viewers._replayed.held) == ([], 0)
    assert viewers.open(Looker(SHOP), (), "run1-0").take() == b""


def test_what_is_kept_for_those_who_come_back_is_bounded_over_all_accounts() -> None:
    viewers = Viewers(load({}), lambda: "run")
    for number in range(60):
        viewers.open(Looker(f"account{number}"), ())
        for second in range(8):
            viewers.tell(f"account{number}", [event("web", "x" * 1000)] * 50, 2.0 * second)
    held = [each.replayed_bytes for each in viewers._audiences.values()]
    assert ALL_REPLAYED_BYTES - 2000 < sum(held) == viewers._replayed.held <= ALL_REPLAYED_BYTES
    assert max(held) - min(held) < 5000  # nobody's are pushed out by those of others alone


def test_tokens_of_other_versions_and_other_keys_open_nothing() -> None:
    settings = load({f"HAILWHALE_{name}": value for name, value in KEYS.items()})
    good = token_of(settings, Looker(SHOP, user="anna", mark="m", session="s", until=5), "host", NOW)
    assert admitted(good, settings, NOW) == Admitted(Looker(SHOP, "", "anna", "m", "s", 5), "host")
    of_before = signed(settings, b'["default","host",9999999999]')
    assert admitted(of_before, settings, NOW) == Admitted(Looker(ACCOUNT), "host")
    with pytest.raises(ValueError, match="with the keys"):
        admitted(good, settings.replace(read_key="x" * 16), NOW)
    for said in (b'[[1],"host",9999999999]', b'["default","host"]', b"[]", b"{}", b"1"):
        with pytest.raises(ValueError, match="another version"):
            admitted(signed(settings, said), settings, NOW)


def signed(settings: Settings, said: bytes) -> str:
    return hail.signed.signed(said, admission._secret(settings))
