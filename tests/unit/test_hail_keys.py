"""Hits that come with a key of the directory: whose they are, and which are refused with what words."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hail.access import check_bind
from hail.columns import messages_of
from hail.directory import SECRET
from hail.hit import Reason
from hail.informed import AT_ONCE_S, Informed
from hail.message import ACCOUNT, Message, WireHit
from hail.publish import Publisher
from hail.secret import masked
from hail.settings import SettingsError, load
from hail.settled import SETTLES_S
from hail.spool import SpoolFolder, read_records, start_of
from hail.web import make_app
from tests.nodes import ACT, ANN, Asked, Node
from tests.wsgi import Answer, call
from whale.accounts import revoked

ORIGIN, REFERER, SENT = "HTTP_ORIGIN", "HTTP_REFERER", "HTTP_SEC_FETCH_SITE"
SHOP, EVIL = "https://shop.example", "https://evil.example"
UNKNOWN = b"hw_w_" + b"x" * 43
KEYS = {"write_key": "w" * 16, "read_key": "r" * 16, "admin_key": "a" * 16}


@pytest.fixture
def whale() -> Asked:
    found = Asked()
    found.site("web", SHOP)
    found.site("any", SHOP, pixels="any")
    found.site("closed")
    return found


class Hail:
    """On a spool, told of the directory when a test says so."""

    def __init__(self, node: Node, **settings: Any):
        self.node, self.settings = node, node.settings.replace(**settings)
        self.informed = Informed(self.settings, lambda: node.now)
        self.publisher = Publisher(self.settings, lambda: node.now)
        self.app = make_app(self.settings, self.publisher, lambda: node.now, informed=self.informed)

    def learn(self) -> None:
        self.node.later(self.informed)

    def get(self, secret: bytes, path: str = "/count", pk: str = "web", **environ: str) -> Answer:
        return call(self.app, "GET", path, {"pk": pk, "key": secret.decode()}, **environ)

    def post(self, secret: bytes, hits: Any, path: str = "/batch", **environ: str) -> Answer:
        bearer = {"HTTP_AUTHORIZATION": f"Bearer {secret.decode()}", "CONTENT_TYPE": "application/json"}
        return call(self.app, "POST", path, body=json.dumps(hits).encode(), **{**bearer, **environ})

    def kept(self) -> list[tuple[str, str]]:
        """Account and first pk of each hit, in their order."""
        return [(part.account, json.loads(bytes(hit.pk))[0]) for part in self.messages() for hit in part.hits]

    def messages(self) -> list[Message]:
        self.publisher.close()
        folder = SpoolFolder(self.settings.data_dir)
        files = [(name, (folder.path / name).read_bytes()) for name in folder.names()]
        bodies = [body for name, data in files for body in read_records(data, start_of(name)).messages]
        return [part for body in bodies for part in messages_of(body)]


class Keyed(Hail):
    """It has the directory, and writes messages of version 2. key: of an account."""

    def __init__(self, node: Node, whale: Asked, **settings: Any):
        super().__init__(node, **{"message_version": 2, **settings})
        self.key = whale.key()[1].decode()
        self.learn()

    def settled(self, ask: Callable[[], Answer]) -> Answer:
        """What it answers in the end of what its directory does not have."""
        ask()
        self.node.now += SETTLES_S
        self.learn()
        return ask()

    def hits(self) -> list[WireHit]:
        return [hit for part in self.messages() for hit in part.hits]


@pytest.fixture
def hail(node: Node) -> Iterator[Hail]:
    found = Hail(node)
    found.learn()
    yield found
    found.publisher.close()


def basic(name: bytes, password: bytes = b"") -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Basic {base64.b64encode(name + b':' + password).decode()}"}


def is_refused(answer: Answer, status: int, code: str) -> bool:
    return (answer.status, answer.json["code"]) == (status, code)


def test_a_key_counts_for_its_account_however_it_came(hail: Hail, whale: Asked) -> None:
    _, secret = whale.key()
    hail.learn()
    assert hail.get(secret).status == 200
    for headers in ({"HTTP_AUTHORIZATION": f"Bearer {secret.decode()}"}, basic(b"any", secret), basic(secret)):
        assert call(hail.app, "GET", "/count", {"pk": "web"}, **headers).status == 200
    assert hail.post(secret, [{"pk": "web"}, {"pk": "other"}]).status == 202
    assert hail.post(secret, {"pk": "web"}, "/count").status == 202
    assert sorted(hail.kept()) == [(ANN.id, "other"), *[(ANN.id, "web")] * 6]


def test_keys_of_the_settings_stay_those_of_the_default_account(node: Node, whale: Asked) -> None:
    hail = Hail(node, **KEYS)
    _, secret = whale.key("admin")
    hail.learn()
    assert hail.get(b"w" * 16).status == hail.get(b"a" * 16).status == hail.get(secret).status == 200
    assert is_refused(hail.get(b"r" * 16), 401, "unauthorized")
    assert hail.kept() == [(ACCOUNT, "web")] * 2 + [(ANN.id, "web")]


def test_one_message_has_the_hits_of_several_accounts(node: Node, whale: Asked) -> None:
    hail = Hail(node, message_version=2, **KEYS)
    _, secret = whale.key()
    hail.learn()
    assert hail.post(secret, [{"pk": "web"}] * 40).status == 202
    assert hail.get(b"w" * 16).status == 200
    assert sorted(hail.kept()) == [(ANN.id, "web")] * 40 + [(ACCOUNT, "web")]


@pytest.mark.parametrize("scope", ["read", "browser"])
def test_a_key_of_another_scope_counts_nothing(hail: Hail, whale: Asked, scope: str) -> None:
    _, secret = whale.key(scope, "web")
    hail.learn()
    page = {"HTTP_ORIGIN": SHOP}
    routes = ["/count_decision", "/flush_hail"] if scope == "browser" else ["/count", "/count_decision", "/flush_hail"]
    for path in routes:
        assert is_refused(hail.post(secret, {"pk": "web"}, path, **page), 401, "unauthorized"), path
    assert hail.kept() == []


def test_no_key_of_an_account_ships_what_all_have_spooled(hail: Hail, whale: Asked) -> None:
    _, secret = whale.key("admin")
    hail.learn()
    assert is_refused(call(hail.app, "GET", "/flush_hail", {"key": secret.decode()}), 401, "unauthorized")


def test_a_key_that_is_not_good_any_more_is_refused_as_an_unknown_one(hail: Hail, node: Node, whale: Asked) -> None:
    key, secret = whale.key()
    _, ending = whale.key(expires_s=int(node.now) + 10)
    hail.learn()
    assert hail.get(secret).status == hail.get(ending).status == 200
    whale.store.change_entry(key, revoked(key, 1), ACT)
    node.now += 10
    hail.learn()
    refused = [hail.get(each) for each in (secret, ending, UNKNOWN, b"")]
    assert all(is_refused(each, 401, "unauthorized") for each in refused)
    assert len({each.body for each in refused}) == 1
    assert hail.get(secret, "/count.gif").headers["X-Hail"] == "dropped; reason=unauthorized"
    assert hail.kept() == [(ANN.id, "web")] * 2


def test_a_key_that_was_made_just_now_is_good(hail: Hail, node: Node, whale: Asked) -> None:
    _, secret = whale.key()
    node.now += AT_ONCE_S
    assert hail.get(secret).status == 200


def test_a_key_of_a_site_counts_that_site_alone(hail: Hail, whale: Asked) -> None:
    _, secret = whale.key("write", "web")
    hail.learn()
    for _ in range(2):  # the second is remembered
        assert hail.get(secret).status == 200
        other = hail.get(secret, pk="shop")
        assert is_refused(other, 403, "other_site")
        assert other.json["detail"] == "pk: expected 'web', the site of this key, got 'shop'"
    assert is_refused(hail.post(secret, {"pk": ["shop", "web"]}, "/count"), 403, "other_site")
    assert is_refused(hail.post(secret, {"pk": "shop"}, "/count"), 403, "other_site")
    assert hail.post(secret, {"pk": ["web", "shop"]}, "/count").status == 202
    assert hail.kept() == [(ANN.id, "web")] * 3


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("count", [3, 40])
def test_of_a_batch_only_the_hits_of_its_site_count(node: Node, whale: Asked, version: int, count: int) -> None:
    hail = Hail(node, message_version=version)
    _, secret = whale.key("write", "web")
    hail.learn()
    pks: list[Any] = [["web", "a"], "shop", ["shop", "web"], 7, *["web"] * count]
    answer = hail.post(secret, [{"pk": pk} for pk in pks])
    assert (answer.status, answer.json["accepted"]) == (202, count + 1)
    codes = [result.get("code") for result in answer.json["results"]]
    assert codes == [None, "other_site", "other_site", "other_site", *[None] * count]
    assert hail.kept() == [(ANN.id, "web")] * (count + 1)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("count", [3, 40])
def test_a_hit_knows_its_key(node: Node, whale: Asked, version: int, count: int) -> None:
    hail = Hail(node, message_version=version, **KEYS)
    one, secret = whale.key()
    other, of_site = whale.key("write", "web")
    hail.learn()
    for _ in range(2):  # the second is remembered
        for each in (secret, of_site, b"w" * 16):
            assert hail.get(each).status == 200
    assert call(hail.app, "GET", "/count.gif", {"pk": "web", "x": "1", "key": secret.decode()}).status == 200
    assert hail.post(secret, {"pk": "web"}, "/count").status == 202
    assert hail.post(secret, {"pk": "web", "decision": "d", "option": "o"}, "/count_decision").status == 202
    assert hail.post(secret, [{"pk": "web"}] * count + [{"pk": "web", "metrics": {"m": {"max": 1}}}]).status == 202
    assert hail.post(of_site, [{"pk": "web"}, {"pk": 7}, {"pk": ["web", "x"]}] * count).status == 202
    assert hail.post(b"w" * 16, [{"pk": "web"}] * count).status == 202
    found = Counter((part.account, hit.key) for part in hail.messages() for hit in part.hits)
    assert found == {
        (ANN.id, one.id): 2 + 3 + count + 1,
        (ANN.id, other.id): 2 + 2 * count,
        (ACCOUNT, None): 2 + count,
    }


def test_what_is_remembered_of_one_key_is_not_that_of_another(hail: Hail, whale: Asked) -> None:
    _, of_site = whale.key("write", "shop")
    _, of_all = whale.key()
    hail.learn()
    assert hail.get(of_all).status == 200
    assert is_refused(hail.get(of_site), 403, "other_site")


@pytest.mark.parametrize(
    ("site", "headers", "is_let_in"),
    [
        ("web", {ORIGIN: SHOP}, True),
        ("web", {ORIGIN: SHOP.upper()}, True),
        ("web", {ORIGIN: EVIL}, False),
        ("web", {ORIGIN: "null"}, False),
        ("web", {ORIGIN: ""}, False),
        ("web", {ORIGIN: f"{SHOP}.evil.example"}, False),
        ("web", {ORIGIN: EVIL, REFERER: f"{SHOP}/"}, False),
        ("web", {ORIGIN: SHOP, SENT: "none"}, False),
        ("web", {ORIGIN: SHOP, SENT: "cross-site"}, True),
        ("web", {REFERER: f"{SHOP}/a/page?x=1"}, True),
        ("web", {REFERER: SHOP}, True),
        ("web", {REFERER: f"{EVIL}/{SHOP}"}, False),
        ("web", {REFERER: f"{SHOP}@evil.example/"}, False),
        ("web", {REFERER: f"{SHOP}.evil.example/"}, False),
        ("web", {REFERER: "https://[shop.example/"}, False),
        ("web", {REFERER: ""}, False),
        ("web", {REFERER: f"{SHOP}/", SENT: "none"}, False),
        ("web", {}, False),
        ("any", {}, True),
        ("any", {SENT: "cross-site"}, True),
        ("any", {SENT: "none"}, False),
        ("any", {ORIGIN: EVIL}, False),
        ("any", {REFERER: f"{EVIL}/"}, False),
        ("closed", {ORIGIN: SHOP}, False),
        ("closed", {}, False),
    ],
)
def test_a_browser_key_opens_to_the_pages_of_its_site(
    hail: Hail, whale: Asked, site: str, headers: dict[str, str], is_let_in: bool
) -> None:
    _, secret = whale.key("browser", site)
    hail.learn()
    answer = hail.get(secret, pk=site, **headers)
    assert answer.status == 200 if is_let_in else is_refused(answer, 403, "foreign_origin")
    pixel = hail.get(secret, "/count.gif", pk=site, **headers)
    assert pixel.headers["X-Hail"] == ("accepted" if is_let_in else "dropped; reason=foreign_origin")
    assert hail.kept() == [(ANN.id, site)] * (2 * is_let_in)


@pytest.mark.parametrize("headers", [{}, {REFERER: f"{SHOP}/"}, {ORIGIN: EVIL}])
@pytest.mark.parametrize("site", ["web", "any"])
def test_what_a_page_posts_needs_its_origin(hail: Hail, whale: Asked, site: str, headers: dict[str, str]) -> None:
    _, secret = whale.key("browser", site)
    hail.learn()
    for path, hits in (("/count", {"pk": site}), ("/batch", [{"pk": site}])):
        assert is_refused(hail.post(secret, hits, path, **headers), 403, "foreign_origin")
        assert hail.post(secret, hits, path, **{ORIGIN: SHOP}).status == 202
    assert is_refused(hail.post(secret, {"pk": "other"}, "/count", **{ORIGIN: SHOP}), 403, "other_site")


def test_without_keys_all_that_shows_none_counts_for_the_default_account(node: Node, whale: Asked) -> None:
    hail = Hail(node, whale_url="", whale_bind=node.settings.whale_url.removeprefix("http://"))
    _, secret = whale.key()
    hail.learn()
    assert hail.get(b"").status == hail.get(b"anything").status == hail.get(secret).status == 200
    assert is_refused(hail.get(UNKNOWN), 401, "unauthorized")
    assert hail.kept() == [(ACCOUNT, "web")] * 2 + [(ANN.id, "web")]


def test_with_an_address_of_whale_nobody_comes_in_without_a_key(hail: Hail) -> None:
    assert is_refused(hail.get(b""), 401, "unauthorized")
    assert is_refused(hail.get(b"anything"), 401, "unauthorized")


def test_without_a_directory_nobody_can_say_who_it_is(node: Node, whale: Asked) -> None:
    hail = Hail(node, whale_url="http://127.0.0.1:1")
    _, secret = whale.key()
    answer = hail.get(secret)
    assert is_refused(answer, 503, "no_directory")
    assert answer.headers["Retry-After"] == "2"
    assert hail.get(secret, "/count.gif").headers["X-Hail"] == "dropped; reason=no_directory"
    assert is_refused(hail.get(b"anything"), 401, "unauthorized")


@pytest.mark.parametrize("count", [3, 40])
def test_without_a_directory_hits_are_taken_by_the_form_of_their_key(node: Node, whale: Asked, count: int) -> None:
    hail = Hail(node, message_version=2, whale_url="http://127.0.0.1:1")
    _, secret = whale.key()
    _, admin = whale.key("admin")
    for each in (secret, UNKNOWN, secret, UNKNOWN):  # the last two are remembered
        assert hail.get(each).status == 200
    assert hail.get(secret, "/count.gif").headers["X-Hail"] == "accepted"
    assert hail.post(admin, [{"pk": "web"}] * count + [{"pk": 7}, {"pk": {}}]).json["accepted"] == count + 1
    assert hail.post(secret, {"pk": "web", "decision": "d", "option": "o"}, "/count_decision").status == 202
    _, read = whale.key("read")
    _, browser = whale.key("browser", "web")
    assert is_refused(hail.get(read), 401, "unauthorized")
    assert is_refused(hail.get(browser, **{ORIGIN: SHOP}), 503, "no_directory")
    assert is_refused(call(hail.app, "GET", "/flush_hail", {"key": admin.decode()}), 401, "unauthorized")
    messages = hail.messages()
    found = Counter((part.account, hit.key, hit.hash) for part in messages for hit in part.hits)
    hashes = [hashlib.sha256(each).hexdigest() for each in (secret, UNKNOWN, admin)]
    assert found == dict(zip([(ACCOUNT, None, hash_) for hash_ in hashes], (4, 2, count + 1), strict=True))
    told = [refusal.code for part in messages for refusal in part.refused]
    assert told == ["unauthorized", "no_directory"]  # nothing of the batch, which is somebody's own


def test_without_a_directory_a_process_takes_few_hits(node: Node, whale: Asked) -> None:
    hail = Hail(node, message_version=2, waiting_max_hits=100, **KEYS)
    hail.informed._whale.address = "127.0.0.1:1"
    _, secret = whale.key()
    assert is_refused(hail.post(secret, [{"pk": "web"}] * 11), 503, "no_directory")
    assert hail.post(secret, [{"pk": "web"}] * 9).status == 202
    for path in ("/batch", "/count"):
        assert hail.get(b"w" * 16).status == 200
        assert hail.post(secret, {"pk": "web"}, path).status == (202 if path == "/batch" else 503)
    answer = hail.get(secret)
    assert is_refused(answer, 503, "no_directory")
    assert answer.headers["Retry-After"] == "2"
    hail.informed._whale.address = node.settings.whale_url.removeprefix("http://")
    hail.learn()
    assert hail.get(secret).status == 200
    assert is_refused(hail.get(UNKNOWN), 401, "unauthorized")
    accounts = Counter(part.account for part in hail.messages() for hit in part.hits)
    assert accounts == {ACCOUNT: 10 + 2, ANN.id: 1}


def test_hits_that_were_not_kept_leave_room_for_others(node: Node, whale: Asked) -> None:
    hail = Hail(node, message_version=2, waiting_max_hits=10, spool_max_mb=0, whale_url="http://127.0.0.1:1")
    _, secret = whale.key()
    for _ in range(3):
        assert is_refused(hail.get(secret), 503, "spool_full")


def test_no_refusal_shows_the_secret_of_a_key(hail: Hail, whale: Asked) -> None:
    _, secret = whale.key("write", "web")
    hail.learn()
    text = secret.decode()
    assert SECRET.fullmatch(secret)
    answer = hail.post(secret, {"pk": "other", "dimensions": {"a": text}}, "/count")
    assert is_refused(answer, 403, Reason.OTHER_SITE)
    assert text[5:] not in str([message.refused for message in hail.messages()])
    assert masked(f"a {text} b") == "a hw_w_***"


def test_a_service_that_opens_to_keys_of_accounts_may_be_reached_from_elsewhere() -> None:
    given = load({"HAILWHALE_INTERNAL_KEY": "i" * 32, "HAILWHALE_WHALE_URL": "http://10.0.0.7:8086"})
    check_bind("0.0.0.0:8085", given)
    for bad in (given.replace(whale_url=""), given.replace(internal_key="")):
        with pytest.raises(SettingsError):
            check_bind("0.0.0.0:8085", bad)
