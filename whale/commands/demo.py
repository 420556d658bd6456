"""`hailwhale up --demo`: a shop that counts itself, in a data folder of its own. One of its campaigns broke.

    demo.json in the data folder: the seed, when the demo began, and how far it has come
    hours of the past ── sums ──> Hail        64 days at the first start; later the hours in which it did not run
    the last hour and this one ── visit by visit, each at its time ──> Hail
    visitors who are told apart ── hits of the tracker ──> Hail, as soon as the shop is a site whose log holds
    who looks at its pages, which Hail has (hail/demo) ── the tracker ──> Hail
    those who meet the managed experiment ── decided and rewarded at their own times ──> the store

Promise: a next start goes on where this one ended, and counts nothing twice. What was sent and not yet noted when the demo was killed
is sent again under the same ids, which are known for HAILWHALE_DEDUPE_WINDOW_S.
"""

import gzip
import http.client
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from hail.binds import address_of, url_of
from hail.settings import Settings, SettingsError, load
from whale.accounts import Account, Site
from whale.client import Whale
from whale.commands import crowd, shop
from whale.commands.embedded import make_folder
from whale.commands.shop import DAY, HOUR, Hit, Story
from whale.errors import NotFound, SetupError, Unavailable
from whale.library.managing import Managing
from whale.store import with_redis
from whale.store.contract.identities import HOLDS_AFTER_MS
from whale.store.redis import connect

FOLDER = "./var/demo"
BATCH = 500
TICK_S = 0.5
AGAIN_S = 1.0
ANSWER_S = 30.0
HOURS_AT_ONCE = 12
SEEDS = 10_000


class State(msgspec.Struct):
    """How far the demo has come. to: all before that second was sent.  singly: whether the hour of `to` is sent visit by visit.

    people_to: all who met the experiment before that second were decided.  crowd_to: all that visitors who are told apart did before
    that second was sent; None: nothing.
    """

    seed: int
    began: int
    to: int
    people_to: int
    singly: bool = False
    crowd_to: int | None = None

    @property
    def story(self) -> Story:
        return shop.story(self.seed, self.began)


def prepare(settings: Settings, seed: int | None, now: float) -> State:
    """The state of the demo in the data folder, new where there is none. Raises SetupError where it would mix with other counts."""
    for name, url in (("REDIS_URL", settings.redis_url), ("BROKER_URL", settings.broker_url)):
        if url:
            raise SetupError(
                f"the demo counts in servers of its own, so that it mixes with no other counts: unset HAILWHALE_{name}"
            )
    folder = Path(settings.data_dir)
    state = state_in(folder)
    if state is None:
        if any(any((folder / part).glob("*")) for part in ("redis", "spool")):
            raise SetupError(
                f"{folder} holds other counts, and the demo mixes with none: set HAILWHALE_DATA_DIR to a new folder"
            )
        drawn = secrets.randbelow(SEEDS) if seed is None else seed
        since = shop.story(drawn, int(now)).since
        state = State(drawn, int(now), since, since)
        make_folder(folder)
        save(folder, state)
    elif seed not in (None, state.seed):
        raise SetupError(f"{folder} holds the demo of seed {state.seed}: leave out --seed, or remove that folder")
    return state


def refuse_demo(data_dir: str) -> None:
    """Raises SetupError where a folder holds the demo, whose counts are made up."""
    if state_in(Path(data_dir)) is not None:
        raise SetupError(
            f"{data_dir} holds the demo: start it with `hailwhale up --demo`, or set HAILWHALE_DATA_DIR to another folder"
        )


def state_in(folder: Path) -> State | None:
    """Raises SetupError where it cannot be read."""
    path = folder / "demo.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise SetupError(f"{path}: expected the state of a demo, got {error}: remove {folder}") from None


def demo_in(data_dir: str) -> State:
    """Raises SetupError where there is none."""
    state = state_in(Path(data_dir))
    if state is None:
        raise SetupError(f"{data_dir} holds no demo: start one with `hailwhale up --demo`")
    return state


def save(folder: Path, state: State) -> None:
    new = folder / "demo.json.new"
    new.write_bytes(msgspec.json.encode(state))
    new.replace(folder / "demo.json")


def answer(settings: Settings, now: int) -> str:
    """Which campaign broke, since when, and its cost in whole days. Raises SetupError where there is no demo."""
    story = demo_in(settings.data_dir).story
    source, campaign = next(iter(shop.SOURCES[story.campaign].name.items()))
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(story.broke))
    today = now // shop.DAY * shop.DAY
    lost = shop.lost_orders(story, today)
    return (
        f"Since {when} the campaign {source} > {campaign} has {story.left:.0%} of the orders a visit that it had. "
        f"Up to {time.strftime('%Y-%m-%d', time.gmtime(today))} 00:00 UTC that is about {lost:,.0f} orders "
        f"and ${lost * shop.MEAN_PRICE:,.0f} less."
    )


class Sender:
    """One connection to Hail. Sends until it is accepted, or a stop is asked for."""

    def __init__(self, settings: Settings, stopped: threading.Event):
        self._address = address_of(url_of(settings.hail_bind).removeprefix("http://"))
        self._stopped = stopped
        self._headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        if settings.write_key:
            self._headers["Authorization"] = f"Bearer {settings.write_key}"
        self._connection: http.client.HTTPConnection | None = None

    def batch(self, hits: Sequence[Hit]) -> None:
        for first in range(0, len(hits), BATCH):
            self._send("/batch", hits[first : first + BATCH])

    def outcomes(self, hits: Sequence[Hit]) -> None:
        for hit in hits:
            self._send("/count_decision", hit)

    def mistakes(self, hits: Sequence[Hit]) -> None:
        """Hits that Hail refuses."""
        for hit in hits:
            self._send("/count", hit, status=400)

    def _send(self, path: str, value: Any, status: int = 202) -> None:
        """Raises SetupError where Hail answers otherwise, but for trouble that passes."""
        body = gzip.compress(msgspec.json.encode(value), 1)
        while not self._stopped.is_set():
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection(*self._address, timeout=ANSWER_S)
                self._connection.request("POST", path, body, self._headers)
                reply = self._connection.getresponse()
                said = reply.read()
            except (OSError, http.client.HTTPException):
                self.close()
            else:
                if reply.status == status:
                    return
                if reply.status < 500 and reply.status != 429:
                    raise SetupError(f"Hail answers {reply.status} to the demo: {said.decode(errors='replace')[:300]}")
            self._stopped.wait(AGAIN_S)

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


class Demo:
    """One run. The thread of `run` sends hits; another decides for those who meet the experiment."""

    def __init__(self, settings: Settings, state: State, stopped: threading.Event):
        self._settings, self._state, self._stopped = settings, state, stopped
        self._folder, self._story = Path(settings.data_dir), state.story
        self._noting = threading.Lock()
        self._sent = 0
        self._lives, self._holds_from, self._is_open = (
            crowd.Lives(self._story, settings),
            float("inf"),
            threading.Event(),
        )

    def run(self) -> None:
        began, sender = time.monotonic(), Sender(self._settings, self._stopped)
        meeting = threading.Thread(target=self._meet, daemon=True)
        meeting.start()
        while not (self._is_open.wait(TICK_S) or self._stopped.is_set() or time.monotonic() > began + ANSWER_S):
            pass
        try:
            self._catch_up(sender, int(time.time()))
            say(f"{self._sent:,} hits sent in {time.monotonic() - began:.1f} s; from now on visit by visit")
            while not self._stopped.wait(TICK_S):
                self._catch_up(sender, int(time.time()))
        finally:
            sender.close()
            meeting.join(ANSWER_S)

    def _catch_up(self, sender: Sender, now: int) -> None:
        """Sends all that happened before now and was not sent yet."""
        state, last_hour = self._state, now // HOUR * HOUR - HOUR
        while state.to < now and not self._stopped.is_set():
            hour = state.to // HOUR * HOUR
            if hour < last_hour and not state.singly:  # the last 60 minutes look like those that follow
                self._send_sums(sender, hour, min(hour + HOURS_AT_ONCE * HOUR, last_hour))
            else:
                self._send_steps(sender, now)  # before them, so that the last hits are these
                self._send_visits(sender, hour, min(hour + HOUR, now))

    def _send_sums(self, sender: Sender, hour: int, end: int) -> None:
        hits = [hit for each in range(hour, end, HOUR) for hit in shop.sums(self._story, each)]
        sender.batch(hits)
        for each in range(hour, end, HOUR):
            sender.outcomes(shop.reports(self._story, each))
        self._noted(sender, len(hits), to=end)

    def _send_visits(self, sender: Sender, hour: int, end: int) -> None:
        self._note(singly=True)  # before the first of them, so that the hour is never sent in sums too
        since = self._state.to
        hits = [hit for hit in shop.visits(self._story, hour) if since <= hit["at"] < end]
        sender.batch(hits)
        sender.mistakes([hit for hit in shop.mistakes(self._story, hour) if since <= hit["at"] < end])
        is_over = end == hour + HOUR
        if is_over:
            sender.outcomes(shop.reports(self._story, hour))
        self._noted(sender, len(hits), to=end, singly=not is_over)

    def _send_steps(self, sender: Sender, now: int) -> None:
        """Of visitors who are told apart, day by day."""
        if time.monotonic() < self._holds_from:
            return
        is_first = self._state.crowd_to is None
        since, sent = self._state.crowd_to or self._story.since, self._sent
        while since < now and not self._stopped.is_set():
            end = min(since + DAY, now)
            hits = self._lives.between(since, end)
            sender.batch(hits)
            self._noted(sender, len(hits), crowd_to=end)
            since = end
        if is_first:
            say(f"{self._sent - sent:,} steps of visitors sent")

    def _noted(self, sender: Sender, sent: int, **changes: Any) -> None:
        if not self._stopped.is_set():  # else the last ones may not have been accepted
            self._sent += sent
            self._note(**changes)

    def _note(self, **changes: Any) -> None:
        with self._noting:
            for name, value in changes.items():
                setattr(self._state, name, value)
            save(self._folder, self._state)

    def _meet(self) -> None:
        """Decides for each who meets the experiment, as of their own time, and rewards those who ordered."""
        clock = Clock()
        while not self._stopped.is_set():
            try:
                settings = with_redis(self._settings)
                whale = Whale(connect(settings), settings, clock=clock, random=np.random.default_rng(self._state.seed))
                self._open_shop(whale)
                self._prepare(whale, clock)
                while not self._stopped.wait(TICK_S):
                    self._decide(whale, clock, int(time.time()))
            except (Unavailable, SetupError):
                self._stopped.wait(AGAIN_S)

    def _open_shop(self, whale: Whale) -> None:
        """Makes the shop a site, whose log is of its first visit on, and saves what people would ask often. It holds at once where nothing
        was sent before, for nobody knows then that there was none.
        """
        if self._settings.visitor_log:
            now, state = time.time(), self._state
            age_ms = int((now - self._story.since + DAY) * 1000)
            managing = Managing(whale.store, now, os.urandom, "the demo", keeps_logs=True, hold_ms=-age_ms)
            self._open_site(managing, managing.account_with(whale.account))
            if state.crowd_to is None:
                whale.save_funnel(shop.PK, crowd.SAVED_FUNNEL, list(crowd.FUNNEL), "7d")
                for name, members in crowd.SEGMENTS.items():
                    whale.save_segment(shop.PK, name, members)
            is_known = state.crowd_to is not None or state.to == self._story.since
            self._holds_from = time.monotonic() + (0 if is_known else HOLDS_AFTER_MS / 1000)
        self._is_open.set()

    def _open_site(self, managing: Managing, account: Account) -> None:
        """Open to the pages that Hail has, which matters where keys are set."""
        port, most = address_of(self._settings.hail_bind)[1], self._settings.max_name_bytes
        pages = dict.fromkeys(
            (url_of(self._settings.hail_bind), f"http://127.0.0.1:{port}", f"http://localhost:{port}")
        )
        known = next((site for site in managing.sites(account) if site.pk == shop.PK), None)
        if known is None:
            new = Site(
                account.id, shop.PK, "Shop", "The demo", True, tuple(pages), event_properties=crowd.EVENT_PROPERTIES
            )
            managing.add_site(new, most)
        elif not (known.open and pages.keys() <= set(known.origins)):
            origins = tuple(dict.fromkeys((*known.origins, *pages)))
            managing.change_site(known, replace(known, open=True, origins=origins), most)

    def _prepare(self, whale: Whale, clock: "Clock") -> None:
        """What people write down once: units, notes, and the experiment. Last the experiment: where it is, all is."""
        try:
            whale.managed.definition(shop.SHIPPING)
        except NotFound:
            clock.now = self._story.began
            whale.declare_metrics(shop.PK, shop.MEASURES)
            for note in shop.notes(self._story):
                whale.note(note.text, note.at, shop.PK, f"demo-{self._story.seed}-{note.at}")
            clock.now = self._story.began - shop.EXPERIMENT_DAYS * DAY
            whale.define_decision(
                shop.SHIPPING,
                options={name: name for name in shop.SHIPPING_FROM},
                by_metric="orders/hits",
                description="From which amount on an order is sent for free.",
            )

    def _decide(self, whale: Whale, clock: "Clock", now: int) -> None:
        since = self._state.people_to
        for hour in range(since // HOUR * HOUR, now, HOUR):
            for person in shop.people(self._story, hour):
                if since <= person.at < now and not self._stopped.is_set():
                    clock.now = person.at
                    met = whale.choose(shop.SHIPPING, person.name, person.dimensions).decision
                    if met.decision_id and (earned := person.earned(met.option)):
                        whale.reward(met.decision_id, earned, id=person.name)
        whale.flush()
        if not self._stopped.is_set():
            self._note(people_to=now)


class Clock:
    """The time at which those who decide believe to be."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def say(text: str) -> None:
    click.echo(f"demo: {text}")


@click.command()
def main() -> None:
    """Tell the story of the demo to Hail, until a stop is asked for. Started by `hailwhale up --demo`."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        settings = load(os.environ)
        state = demo_in(settings.data_dir)
        where = url_of(settings.whale_bind)
        say(
            f"a made-up shop, of seed {state.seed}. One campaign broke: which one, when, and at what cost? See {where}/"
        )
        say(f"its pages are at {url_of(settings.hail_bind)}/: look around, order something, and see yourself counted")
        Demo(settings, state, stopped).run()
    except (SettingsError, SetupError) as error:
        say(str(error))
        sys.exit(2)


if __name__ == "__main__":
    main()
