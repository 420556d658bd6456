"""What metrics measure, as somebody declared it: one hash of an account, a field for each pk and metric."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from whale.dimension import Pk
from whale.store.contract.declared import Metric, too_many_declared
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database

_field = msgspec.json.Encoder().encode
_metric = msgspec.json.Decoder(tuple[Pk, str]).decode


class Declarations:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._client, self._declare = database, database.client, database.script("declare")

    @reachable
    def declared(self, account: str, asked: Sequence[Metric]) -> dict[Metric, bytes]:
        texts = self._client.hmget(self._database.keys(account).declared(), map(_field, asked)) if asked else []
        return {metric: text for metric, text in zip(asked, texts, strict=True) if text is not None}

    @reachable
    def declare(self, account: str, pk: Pk, metrics: Mapping[str, bytes | None]) -> None:
        most = int(self._database.settings.max_declared)
        pairs = [part for name, text in metrics.items() for part in (_field((pk, name)), text or b"")]
        if pairs and not self._declare([self._database.keys(account).declared()], [most, *pairs]):
            raise too_many_declared(most)


def declared_below(fields: Iterable[bytes], pk: Pk) -> list[bytes]:
    """The fields of a pk and of the pks below it."""
    return [field for field in fields if _metric(field)[0][: len(pk)] == pk]
