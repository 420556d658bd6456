"""Nothing changes for a user: each recorded answer is given again.

`python -m tests.recorded [SUBJECT ...]` records anew, on purpose, for a change that a user is meant to see; the difference of the
files is then part of the review. A test never records. The list of what is not compared is MASKED in records.py.
"""

import pytest

from tests.recorded.over_http import ONLY_LIVE, path_of
from tests.recorded.records import FILES, MASKED, differences, recorded
from tests.recorded.subjects import SUBJECTS, asked
from tests.recorded.world import RIGHTS

MOST_SHOWN = 12
MOST_BYTES = 3_500_000


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_recorded_answer_is_given_again(subject: str) -> None:
    found = list(differences(recorded(subject), asked(subject)))
    shown = "\n\n".join(text[:3000] for text in found[:MOST_SHOWN])
    assert not found, f"{len(found)} answers differ; meant? python -m tests.recorded {subject}\n\n{shown}"


def test_every_route_has_recorded_answers_of_every_method() -> None:
    asked_of = {
        tuple(entry.title.split("\n")[0].split("?")[0].split(" ")[:2])
        for subject in SUBJECTS
        for entry in recorded(subject)
    }
    rights = [right for right in RIGHTS if right.rule not in ONLY_LIVE]
    wanted = {(method, path_of(right.rule)) for right in rights for method in (*right.methods, "OPTIONS", "HEAD")}
    assert sorted(wanted - asked_of) == []


def test_there_is_a_file_for_each_subject_and_they_are_small() -> None:
    assert sorted(path.stem for path in FILES.iterdir()) == sorted(SUBJECTS)
    assert sum(path.stat().st_size for path in FILES.iterdir()) < MOST_BYTES
    assert sorted(MASKED) == ["ETag", "as_of", "durations", "new visitors", "secrets of keys", "speed", "version"]
