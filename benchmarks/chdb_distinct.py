"""The visitors of benchmarks.visitors_log in ClickHouse's engine, for any Python that has chdb; imports nothing of this project.

    python chdb_distinct.py ROWS.bin FIRST END RUNS

ROWS.bin: u32 visitor, i64 ms of each event, as RowBinary has them. They lie in a MergeTree in order of time. Prints how many visitors had
one in [FIRST, END), and of each run the ms that this took.
"""

import os
import shutil
import sys
import tempfile
import time


def main() -> None:
    from chdb import session

    rows, first, end, runs = sys.argv[1], *map(int, sys.argv[2:])
    folder = tempfile.mkdtemp(prefix="hailwhale-benchmark-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    try:
        ask = session.Session(folder).query
        ask("CREATE DATABASE d")
        ask("CREATE TABLE d.events (visitor UInt32, ms Int64) ENGINE=MergeTree ORDER BY ms")
        ask(f"INSERT INTO d.events SELECT * FROM file('{rows}', 'RowBinary', 'visitor UInt32, ms Int64')")
        ask("OPTIMIZE TABLE d.events FINAL")
        for _ in range(runs):
            began = time.perf_counter()
            found = str(ask(f"SELECT uniqExact(visitor) FROM d.events WHERE ms >= {first} AND ms < {end}", "CSV"))
            print(int(found), 1000 * (time.perf_counter() - began))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
