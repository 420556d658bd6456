"""HiiTrack's users and buckets: a user is an account with its owner, and a bucket is a site with a key that reads it.

Each call is several changes of the directory, each with its row in the journal. What fails midway leaves nothing behind that nobody
can use, and what removes can be called again until it is done.
"""

from typing import Any

from whale.accounts import ALL, NAME, OWNER, READ, Account, Site, check_name, shown
from whale.answer.ids import id_of
from whale.answer.site_log import Log, LogReading
from whale.errors import CallerError, Conflict, NotAllowed, NotFound
from whale.library.managing import Managing
from whale.store.contract.changes import Changes
from whale.visitors.entries import EVENT, EVENT_PROPERTY, PROPERTY

MOST_MADE = 1000
"""Sites of an account up to which an event makes a further one."""


def check_free(managing: Managing, name: str) -> None:
    """Raises CallerError of a name that no account may have, Conflict of one that is taken: before a password is hashed in vain."""
    check_name(name, "user")
    if managing.has_account(name):
        raise Conflict(f"there is an account {name} already", "user")


def add_user(managing: Managing, name: str, zone: str, password: str) -> Account:
    """The account, with its owner. password: its hash."""
    account = managing.add_account(name, zone)
    try:
        managing.add_user(account, OWNER, password, ALL)
    except BaseException:
        managing.remove_account(account)  # nobody could log in
        raise
    return account


def add_bucket(managing: Managing, account: Account, name: str, description: str, max_name_bytes: int) -> str:
    """Makes the site; the secret of a key that reads it and nothing else."""
    _check_name(name)
    site = managing.add_site(Site(account.id, name, description=description), max_name_bytes)
    try:
        _, secret = managing.add_key(account, READ, name, None)
    except BaseException:
        managing.remove_site(account, site)
        raise
    return secret


def bucket_of(managing: Managing, account: Account, name: str) -> Site | None:
    """The site that an event is of, where it is there."""
    return next((site for site in managing.sites(account) if site.pk == name), None)


def add_by_event(managing: Managing, account: Account, name: str, max_name_bytes: int) -> Site:
    """Makes the site that an event is of. Raises CallerError of a name that no bucket may have, NotAllowed where there are MOST_MADE."""
    _check_name(name)
    if (count := len(managing.sites(account))) >= MOST_MADE:
        raise NotAllowed(f"the account has {count} sites, so an event makes no further one", "bucket")
    try:
        return managing.add_site(Site(account.id, name, description=name), max_name_bytes)
    except Conflict:  # another request was first
        return managing.site(account, name)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise CallerError(f"expected 1 to 64 of A-Z a-z 0-9 . _ -, got {shown(name)}", "bucket")


def remove_bucket(managing: Managing, counts: Changes, account: Account, site: Site, now: float) -> None:
    """With all that it counted, and with the keys that open it alone."""
    counts.reset(account.id, (site.pk,), None, now)
    for key in managing.keys_of(account, site):
        managing.remove_key(key)
    managing.remove_site(account, site)


def user_shown(sites: list[dict[str, Any]]) -> dict[str, Any]:
    """As HiiTrack shows a user. sites: of the account, as `Managing.sites_shown` has them."""
    return {"buckets": {site["pk"]: {"description": site["description"]} for site in sites}}


def bucket_shown(store: LogReading, site: Site) -> dict[str, Any]:
    """As HiiTrack shows a bucket: with the events and the properties of visitors that are logged, and their ids."""
    try:
        names = sorted(Log.of(store, site.account, site.pk).names())
    except NotFound:
        names = []
    return {
        "bucket_name": site.pk,
        "description": site.description,
        "properties": {id_of(name): name for kind, name in names if kind in (PROPERTY, EVENT_PROPERTY)},
        "events": {name: {"id": id_of(name)} for kind, name in names if kind == EVENT},
    }
