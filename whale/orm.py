"""Counted: a mixin by which an object of a program counts on itself and on its relations. For any ORM, or none.

class Product(Counted, Base):
    ...

product.count_now({"country": "US"}, {"revenue": 5})          pk ["Product", "123"]
product.count_now_related(user, {"country": "US"})            the same pk, dimensions {"User": {"7": {"country": "US"}}}
product.plotpoints(period="seven")
product.plotpoints_related(user, "country")                   paths ["User", "7", "country"]

Every call takes what the same call of Whale takes after its pk. `Whale.totals("Product")` has all products together.
"""

from typing import Any, ClassVar

from hail.hit import HitError
from whale.client import Whale
from whale.dimension import pk_asked
from whale.errors import CallerError
from whale.plain import kind_of, plain


class Counted:
    """The calls of every counted object. A class may override its name and its connection:

    counted_by: the attribute with its id.  counted_as: its name. Default: the name of its class.
    counted_on: a Whale. Default: the default connection.
    """

    counted_by: ClassVar[str] = "id"
    counted_as: ClassVar[str] = ""
    counted_on: ClassVar[Whale | None] = None

    def counted_pk(self) -> list[str]:
        """[name of its class, its id]; raises CallerError for an object that is not saved."""
        return pk_of(self)

    # counting

    def count_now(self, dimensions: Any = None, metrics: Any = None, at: Any = None, **more: Any) -> None:
        _whale(self).count_now(pk_of(self), dimensions, metrics, at, **more)

    def count(self, dimensions: Any = None, metrics: Any = None, at: Any = None, **more: Any) -> None:
        _whale(self).count(pk_of(self), dimensions, metrics, at, **more)

    def count_now_related(
        self, other: Any, dimensions: Any = None, metrics: Any = None, at: Any = None, **more: Any
    ) -> None:
        """Counts once on itself, along the related object. other: one, or a list of several."""
        self.count_now(related(other, dimensions), metrics, at, **more)

    def count_related(
        self, other: Any, dimensions: Any = None, metrics: Any = None, at: Any = None, **more: Any
    ) -> None:
        self.count(related(other, dimensions), metrics, at, **more)

    # answers

    def plotpoints(self, dimensions: Any = None, metrics: Any = None, *args: Any, **more: Any) -> Any:
        return _whale(self).plotpoints(pk_of(self), dimensions, metrics, *args, **more)

    def plotpoints_related(
        self, other: Any, dimensions: Any = None, metrics: Any = None, *args: Any, **more: Any
    ) -> Any:
        return self.plotpoints(related(other, dimensions), metrics, *args, **more)

    def scalar_plotpoints(self, *args: Any, **more: Any) -> Any:
        return _whale(self).scalar_plotpoints(pk_of(self), *args, **more)

    def ratio_plotpoints(self, *args: Any, **more: Any) -> Any:
        return _whale(self).ratio_plotpoints(pk_of(self), *args, **more)

    def totals(self, dimensions: Any = None, metrics: Any = None, *args: Any, **more: Any) -> Any:
        return _whale(self).totals(pk_of(self), dimensions, metrics, *args, **more)

    def totals_related(self, other: Any, dimensions: Any = None, metrics: Any = None, *args: Any, **more: Any) -> Any:
        return self.totals(related(other, dimensions), metrics, *args, **more)

    def total(self, metric: str = "hits", dimension: Any = None, *args: Any, **more: Any) -> Any:
        return _whale(self).total(pk_of(self), metric, dimension, *args, **more)

    def total_related(self, other: Any, metric: str = "hits", dimension: Any = None, *args: Any, **more: Any) -> Any:
        return self.total(metric, related(other, dimension), *args, **more)

    def today(self, *args: Any, **more: Any) -> Any:
        return _whale(self).today(pk_of(self), *args, **more)

    def yesterday(self, *args: Any, **more: Any) -> Any:
        return _whale(self).yesterday(pk_of(self), *args, **more)

    def get_subdimensions(self, *args: Any, **more: Any) -> Any:
        return _whale(self).get_subdimensions(pk_of(self), *args, **more)

    def all_subdimensions(self, *args: Any, **more: Any) -> Any:
        return _whale(self).all_subdimensions(pk_of(self), *args, **more)


def pk_of(model: Any) -> list[str]:
    """The pk of an object; raises CallerError for one that is not saved."""
    kind = type(model)
    name = getattr(kind, "counted_as", "") or kind.__name__
    attribute = getattr(kind, "counted_by", "id")
    try:
        found, is_new = getattr(model, attribute, None), _is_new(model)
    except Exception as error:  # of the ORM, as where its row is gone
        raise CallerError(f"the {attribute} of this {name} cannot be read: {kind_of(error)}", "pk") from error
    if found is None or is_new:
        raise CallerError(
            f"this {name} is not saved yet: save it, then count it (it is known by its {attribute})", "pk"
        )
    return list(pk_asked([name, _id_of(found, attribute)]))


def related(other: Any, dimensions: Any = None) -> Any:
    """Dimensions below a related object, or below each of several: {its class: {its id: dimensions}}; lists as paths."""
    given = plain(dimensions, "dimensions")
    below = {} if given in (None, "_", [], ["_"]) else given
    if isinstance(below, list) and not any(isinstance(name, list) for name in below):
        below = [below]  # one path; within an object a question would take its names for several
    several = isinstance(below, list) and all(isinstance(path, list) for path in below)
    paths: list[list[Any]] = []
    tree: dict[str, dict[str, Any]] = {}
    for each in other if isinstance(other, list | tuple | set) else [other]:
        name, id_ = pk_of(each)
        if several:
            paths += [[name, id_, *path] for path in below]
        else:
            tree.setdefault(name, {})[id_] = below
    return paths if several else tree


def _id_of(found: Any, attribute: str) -> Any:
    """An id as a plain value; of a type that only a program knows, its text."""
    try:
        return plain(found, "pk")
    except HitError:
        pass
    try:
        return str.__str__(str(found))
    except Exception as error:  # whatever a program's own type raises
        raise CallerError(
            f"expected text or a number as {attribute}, got {kind_of(found)} that raised {kind_of(error)}", "pk"
        ) from None


def _whale(model: Any) -> Any:
    return type(model).counted_on or Whale


def _is_new(model: Any) -> bool:
    """Not in the database yet, as Django and SQLAlchemy say it: an id may be there before the row is."""
    alchemy = getattr(model, "_sa_instance_state", None)
    if alchemy is not None:
        return bool(alchemy.transient or alchemy.pending)
    return getattr(getattr(model, "_state", None), "adding", False) is True
