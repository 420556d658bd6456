"""The rollup of benchmarks.beside_clickhouse in ClickHouse's engine, for any Python that has chdb: it imports nothing of this project.

    python chdb_rollup.py ROWS.jsonl SIZE [CELLS.tsv]

A materialized view makes the cells of each block of rows as it is inserted, and a SummingMergeTree adds them up. Prints hits/s and CPU
microseconds a hit; writes all cells, added up, to CELLS.tsv. Nothing is fsynced, and a block that is inserted again counts again.
"""

import os
import shutil
import sys
import tempfile
import time

ROWS = """p1 LowCardinality(String), p2 LowCardinality(String), at UInt32, country LowCardinality(String),
region LowCardinality(String), device LowCardinality(String), page String, revenue Decimal64(6)"""
CELLS = """pk LowCardinality(String), path String, width UInt32, start UInt32, hits UInt64, revenue Decimal64(6)"""
VIEW = """CREATE MATERIALIZED VIEW d.view TO d.cells AS
SELECT pk, path, width, intDiv(at, width) * width AS start, count() AS hits, sum(revenue) AS revenue
FROM (SELECT at, revenue,
  arrayJoin([p1, concat(p1, '/', p2)]) AS pk,
  arrayJoin(['', 'country', concat('country/', country), concat('country/', country, '/', region),
             'device', concat('device/', device), 'page', concat('page/', page)]) AS path,
  arrayJoin([60, 3600, 86400]) AS width
FROM d.raw) GROUP BY pk, path, width, start"""


def main() -> None:
    from chdb import session

    with open(sys.argv[1]) as file:
        rows = file.read().splitlines()
    size = int(sys.argv[2])
    blocks = ["\n".join(rows[first : first + size]) for first in range(0, len(rows), size)]
    folder = tempfile.mkdtemp(prefix="hailwhale-benchmark-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    try:
        ask = session.Session(folder).query
        ask("CREATE DATABASE d")
        ask(f"CREATE TABLE d.raw ({ROWS}) ENGINE=Null")
        ask(f"CREATE TABLE d.cells ({CELLS}) ENGINE=SummingMergeTree ORDER BY (pk, path, width, start)")
        ask(VIEW)
        began, cpu = time.perf_counter(), time.process_time()
        for block in blocks:
            ask("INSERT INTO d.raw FORMAT JSONEachRow " + block)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        print(len(rows) / took, cpu / len(rows) * 1e6)
        for path in sys.argv[3:]:
            sums = "SELECT pk, path, width, start, sum(hits), toInt64(sum(revenue) * 1000000) FROM d.cells GROUP BY ALL"
            with open(path, "w") as file:
                file.write(str(ask(sums, "TSV")))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
