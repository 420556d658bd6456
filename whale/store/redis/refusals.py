"""What Redis says where it answers and does not do what it is asked: a sentence each, of what is wrong and what to do."""

import re

import redis

from whale.errors import Refused, Unavailable, visible

WORDS = {
    "AUTH": "Redis refuses the user or the password in HAILWHALE_REDIS_URL: correct them",
    "OOM": "Redis is full (maxmemory) and takes no writes: give it more memory; hits wait meanwhile",
    "READONLY": "this Redis is a replica and takes no writes: set the master in HAILWHALE_REDIS_URL; hits wait meanwhile",
    "LOADING": "Redis is loading its data from disk, and answers when it has finished",
    "MASTERDOWN": "this Redis is a replica without its master: start the master, or set another server in HAILWHALE_REDIS_URL",
    "MISCONF": "Redis cannot write to its disk and takes no writes: see its log, the disk may be full; hits wait meanwhile",
    "NOREPLICAS": "Redis has fewer replicas than min-replicas-to-write and takes no writes: start them; hits wait meanwhile",
    "BUSY": "Redis is busy with a script that does not end: SCRIPT KILL ends it",
    "CLUSTERDOWN": "a part of Redis Cluster is down: start it; redis-cli --cluster check says which slots are missing",
    "CLIENTS": "Redis takes no more connections: raise its maxclients",
}
MOST_SHOWN = 200  # letters of a name
LASTING = "AUTH"  # stays so until a person changes something
CLASSES: dict[type[BaseException], str] = {
    redis.AuthenticationError: "AUTH",
    redis.exceptions.AuthorizationError: "AUTH",
    redis.OutOfMemoryError: "OOM",
    redis.ReadOnlyError: "READONLY",
    redis.BusyLoadingError: "LOADING",
    redis.exceptions.MasterDownError: "MASTERDOWN",
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
    redis.exceptions.SlotNotCoveredError: "CLUSTERDOWN",
}
# of a script, and of a cluster's client, the text alone says which it is
CODES = re.compile(r"(?:^|[ -])(OOM|READONLY|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|BUSY|CLUSTERDOWN)\b")
TEXTS = {
    r"invalid username-password|invalid password|Authentication required|NOAUTH|WRONGPASS": "AUTH",
    r"max number of clients reached": "CLIENTS",
    r"while the cluster is down": "CLUSTERDOWN",
    r"Redis is loading the dataset": "LOADING",
}
UNKNOWN_HOST = re.compile(r"Error -[0-9]+ connecting to (?P<host>\S+):[0-9]+\. (?P<why>[^.]+)")
"""Names have errors of their own, below 0."""
RIGHT = re.compile(r"NOPERM|no permissions|can't run this command|can't access at least one of the keys")


class SlotMoving(Refused):
    """Redis Cluster moves keys from one node to another; nothing was done."""

    def __init__(self) -> None:
        super().__init__(
            "Redis Cluster moves some of the keys to another node: it continues when they have arrived "
            "(if that never ends: redis-cli --cluster fix)"
        )


class NewerData(Refused):
    """Only a later version may write the cells of a pk; nothing was done. pk: as JSON."""

    def __init__(self, pk: str) -> None:
        super().__init__(
            "this Redis holds data that only a later version of HailWhale may change: use the release that wrote it; "
            "hits wait meanwhile",
            about=visible(pk[:MOST_SHOWN]),
        )


def lacks_right(what: str) -> str:
    return f"the user in HAILWHALE_REDIS_URL lacks a right ({what}): docs/deploy.md lists those it needs"


def unavailable_of(error: Exception) -> Unavailable | None:
    """What an error of the client means: Refused where Redis said why; None where it is no state of Redis but a fault of ours."""
    text = str(error)
    if isinstance(error, redis.exceptions.AskError | redis.exceptions.TryAgainError) or "TTL exhausted" in text:
        return SlotMoving()  # the last: the client followed as often as it may, and each time the key was elsewhere
    if isinstance(error, redis.exceptions.NoPermissionError) or RIGHT.search(text):
        what = re.split(r" script: |\. *$", re.sub(r"^.*NOPERM ", "", text))[0]
        return Refused(lacks_right(what), lasting=True)
    if isinstance(error, redis.exceptions.InvalidResponse):
        return Refused("the server at HAILWHALE_REDIS_URL is not Redis: check its host and port", lasting=True)
    code = CLASSES.get(type(error))
    if code is None and (found := CODES.search(text)):
        code = found[1]
    code = code or next((code for pattern, code in TEXTS.items() if re.search(pattern, text)), None)
    if code:
        return Refused(WORDS[code], lasting=code == LASTING)
    if unknown := UNKNOWN_HOST.search(text):
        return Unavailable(f"HAILWHALE_REDIS_URL: cannot resolve the host {unknown['host']} ({unknown['why']})")
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return Unavailable(f"Redis: {error}")
    if isinstance(error, redis.exceptions.ClusterError | redis.exceptions.RedisClusterException):
        return Unavailable(f"Redis Cluster: {error}")
    return None
