"""Counted, in models of SQLAlchemy and of Django, on a database in memory."""

import uuid
from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.conf import settings as django_settings
from django.db import connection, models
from sqlalchemy import ForeignKey, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from hail.settings import load
from tests.contract.hits import NOW
from whale import client
from whale.client import Whale
from whale.errors import CallerError
from whale.orm import Counted, pk_of, related
from whale.store.memory import MemoryStore

if not django_settings.configured:
    django_settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()


class Base(DeclarativeBase):
    pass


class User(Counted, Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Product(Counted, Base):
    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    owner: Mapped[User | None] = relationship()


class Ticket(Counted, Base):
    __tablename__ = "tickets"
    counted_by = "number"
    counted_as = "Support ticket"
    number: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)


class DjangoUser(Counted, models.Model):
    counted_as = "User"
    name = models.CharField(max_length=50)

    class Meta:
        app_label = "shop"


class DjangoProduct(Counted, models.Model):
    counted_as = "Product"
    owner = models.ForeignKey(DjangoUser, null=True, on_delete=models.CASCADE)

    class Meta:
        app_label = "shop"


class DjangoTicket(Counted, models.Model):
    counted_by = "number"
    counted_as = "Support ticket"
    number = models.UUIDField(primary_key=True, default=uuid.uuid4)

    class Meta:
        app_label = "shop"


class Alchemy:
    user, product, ticket = User, Product, Ticket

    def __init__(self) -> None:
        engine = create_engine("sqlite://")
        Base.metadata.create_all(engine)
        self.session = Session(engine)

    def save(self, model: Any) -> Any:
        self.session.add(model)
        self.session.commit()
        return model

    def get(self, kind: Any, id_: Any) -> Any:
        self.session.expire_all()
        return self.session.get(kind, id_)


class Django:
    user, product, ticket = DjangoUser, DjangoProduct, DjangoTicket

    def __init__(self) -> None:
        with connection.schema_editor() as editor:
            for kind in (DjangoUser, DjangoProduct, DjangoTicket):
                editor.create_model(kind)

    def save(self, model: Any) -> Any:
        model.save()
        return model

    def get(self, kind: Any, id_: Any) -> Any:
        return kind.objects.only("pk").get(pk=id_)


@pytest.fixture(params=[Alchemy, Django])
def orm(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = request.param()
    yield made
    if isinstance(made, Alchemy):
        made.session.close()
        return
    with connection.schema_editor() as editor:
        for kind in (DjangoTicket, DjangoProduct, DjangoUser):
            editor.delete_model(kind)


@pytest.fixture
def whale(monkeypatch: pytest.MonkeyPatch) -> Whale:
    """The default connection."""
    settings = load({})
    made = Whale(MemoryStore(settings), settings, clock=lambda: NOW)
    monkeypatch.setattr(client, "_connections", {Whale: made})
    return made


def test_an_object_counts_on_itself(orm: Any, whale: Whale) -> None:
    first, second = orm.save(orm.product()), orm.save(orm.product())
    assert first.counted_pk() == ["Product", "1"]
    first.count_now({"country": "US"}, {"revenue": 5})
    first.count_now({"country": "DE"}, metrics={"revenue": 2.5}, at=NOW - 86_400)
    second.count_now(metrics=["revenue"])
    again = orm.get(orm.product, 1)
    assert again.total("revenue") == 7.5
    assert again.today("revenue") == 5
    assert again.yesterday("revenue") == 2.5
    assert again.totals(metrics="revenue/hits", periods=["seven"]) == {"seven": {"_": {"revenue/hits": 3.75}}}
    points = again.plotpoints("country", depth=1, metrics=["revenue"], period="seven")
    assert list(points['["country", "US"]']["revenue"].values()) == [0, 0, 0, 0, 0, 0, 0, 5]
    assert list(again.scalar_plotpoints(metrics="hits", period="today")["_"]["hits"].values())[-1] == 1
    assert list(again.ratio_plotpoints("revenue", period="seven")["_"]["revenue/hits"].values())[-1] == 5
    assert again.get_subdimensions() == ["country"]
    assert again.all_subdimensions() == ["_", "country", '["country", "US"]', '["country", "DE"]']
    assert whale.total("Product", "revenue") == 8.5
    assert whale.pks("Product") == [("Product", "1"), ("Product", "2")]


def test_an_object_counts_on_related_ones_as_nested_dimensions(orm: Any, whale: Whale) -> None:
    ann, bob = (orm.save(orm.user(name=name)) for name in ("ann", "bob"))
    product = orm.save(orm.product(owner=ann))
    product.count_now_related(product.owner, {"country": {"US": "CA"}}, {"revenue": 5})
    product.count_now_related(bob, metrics={"revenue": 1})
    product.count_now_related(bob, [["country", "US"], ["device", "mac"]])
    product.count_now_related([ann, product], "mail")
    assert product.total() == 4
    assert product.total_related(ann, "revenue", ["country", "US"]) == 5
    assert product.totals_related(ann, ["country", "US"], "revenue", periods="today") == {
        "today": {'["User", "1", "country", "US"]': {"revenue": 5}}
    }
    assert [product.total_related(bob, "hits", ("device", name)) for name in ("mac", "pc")] == [1, 0]
    assert [product.total_related(who) for who in (ann, bob, product)] == [2, 2, 1]
    assert product.totals_related(bob, [["country"], ["device", "mac"]], periods="today") == {
        "today": {'["User", "2", "country"]': {"hits": 1}, '["User", "2", "device", "mac"]': {"hits": 1}}
    }
    points = product.plotpoints_related(ann, "country", "revenue", depth=2, period="today")
    assert list(points) == [
        '["User", "1", "country"]',
        '["User", "1", "country", "US"]',
        '["User", "1", "country", "US", "CA"]',
    ]
    assert product.get_subdimensions("User") == ['["User", "1"]', '["User", "2"]']
    assert whale.total("Product", "revenue", ["User", "1"]) == 5


def test_an_object_that_was_not_saved_says_so(orm: Any, whale: Whale) -> None:
    saved = orm.save(orm.user(name="ann"))
    for unsaved in (orm.product(), orm.product(id=7)):
        for call in (unsaved.count_now, unsaved.plotpoints, unsaved.total, unsaved.counted_pk):
            with pytest.raises(CallerError, match="this Product is not saved yet: save it, then count it"):
                call()
        with pytest.raises(CallerError, match="this Product is not saved yet"):
            saved.count_now_related(unsaved)
    assert whale.pks() == []


def test_the_name_and_the_id_may_be_others(orm: Any, whale: Whale) -> None:
    number = uuid.UUID(int=5)
    with pytest.raises(CallerError, match="known by its number"):
        orm.ticket(number=number).count_now()
    orm.save(orm.ticket(number=number)).count_now(id="once")
    assert whale.pks("Support ticket") == [("Support ticket", str(number))]


def test_a_class_may_count_on_a_connection_of_its_own() -> None:
    settings = load({})
    own = Whale(MemoryStore(settings), settings, clock=lambda: NOW)

    class Job(Counted):
        counted_on = own
        id = "a"

    Job().count_now()
    assert own.total(["Job", "a"]) == 1


def test_several_paths_and_no_dimension_go_below_the_related_object() -> None:
    class Thing:
        id = 3

    assert pk_of(Thing()) == ["Thing", "3"]
    assert related(Thing()) == related(Thing(), "_") == {"Thing": {"3": {}}}
    assert related(Thing(), ["a", "b"]) == related(Thing(), ("a", "b")) == [["Thing", "3", "a", "b"]]
    assert related(Thing(), ()) == {"Thing": {"3": {}}}
    assert related(Thing(), [["a"], ["b", "c"]]) == [["Thing", "3", "a"], ["Thing", "3", "b", "c"]]
