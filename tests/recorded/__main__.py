"""Records anew: `python -m tests.recorded` all subjects, or those that are named."""

import sys

from tests.recorded.records import write
from tests.recorded.subjects import SUBJECTS, asked

for name in sys.argv[1:] or SUBJECTS:
    entries = asked(name)
    write(name, entries)
    print(f"{len(entries):5} {name}")
