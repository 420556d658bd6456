"""Who stands for whom when two ids turn out to be one person's."""

import pytest

from whale.visitors.identity import ALREADY, OTHER_KNOWN, Alias, Join, Person, Standing, to_join

PHONE, LAPTOP, TABLET = (Person(name.encode() * 16, name.encode()) for name in "plt")
ANNA, BERT = (Person(name.encode() * 16, name.encode()) for name in "ab")
NOBODY, ERASED = Standing(), Standing((Alias(PHONE.hash, b"", 5, 7),))


def stands_for(person: Person) -> Standing:
    return Standing((Alias(person.hash, person.id, 5),))


def known_as(*people: Person) -> Standing:
    return Standing(aliases=frozenset(person.hash for person in people))


@pytest.mark.parametrize(
    ("anonymous", "its", "known", "their", "expected"),
    [
        (PHONE, NOBODY, ANNA, NOBODY, Join(PHONE, ANNA)),
        (PHONE, known_as(ANNA), ANNA, stands_for(PHONE), ALREADY),
        (LAPTOP, NOBODY, ANNA, stands_for(PHONE), Join(PHONE, LAPTOP)),
        (LAPTOP, stands_for(PHONE), ANNA, stands_for(PHONE), ALREADY),
        (PHONE, known_as(ANNA), BERT, NOBODY, OTHER_KNOWN),
        (PHONE, known_as(ANNA), BERT, stands_for(TABLET), OTHER_KNOWN),
        (LAPTOP, stands_for(PHONE), BERT, NOBODY, OTHER_KNOWN),
        (LAPTOP, stands_for(PHONE), BERT, stands_for(TABLET), OTHER_KNOWN),
        (ANNA, NOBODY, ANNA, NOBODY, ALREADY),
        (ANNA, stands_for(PHONE), PHONE, known_as(ANNA), ALREADY),
        (LAPTOP, NOBODY, PHONE, known_as(ANNA), Join(PHONE, LAPTOP)),
        (TABLET, known_as(BERT), PHONE, known_as(ANNA), OTHER_KNOWN),
        (PHONE, known_as(ANNA), ANNA, NOBODY, Join(PHONE, ANNA)),  # it was cut off
        (LAPTOP, ERASED, ANNA, ERASED, Join(LAPTOP, ANNA)),
    ],
)
def test_two_ids_become_one_person_and_two_known_ones_never(
    anonymous: Person, its: Standing, known: Person, their: Standing, expected: Join | str
) -> None:
    assert to_join(anonymous, its, known, their) == expected
