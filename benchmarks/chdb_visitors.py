"""Questions of benchmarks.visitors in ClickHouse's engine, for any Python that has chdb; imports nothing of this project.

    python chdb_visitors.py ROWS.bin QUESTIONS.json RUNS

ROWS.bin: u32 visitor, i64 ms, u8 event of each, as RowBinary has them. They lie in a MergeTree in each of ORDERS. QUESTIONS.json: SQL by
name, with {table} for the table. Prints a JSON object a question: {"question", "ms": {order: [ms of each run]}, "found": its rows as CSV}.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ORDERS = {"v_t": "visitor, ms", "e_t": "event, ms", "e_v_t": "event, visitor, ms"}


def main() -> None:
    from chdb import session

    rows, questions, runs = sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), int(sys.argv[3])
    folder = tempfile.mkdtemp(prefix="hailwhale-benchmark-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    try:
        ask = session.Session(folder).query
        ask("CREATE DATABASE d")
        columns = "visitor UInt32, ms Int64, event UInt8"
        for name, order in ORDERS.items():
            ask(f"CREATE TABLE d.{name} ({columns}) ENGINE=MergeTree ORDER BY ({order})")
            ask(f"INSERT INTO d.{name} SELECT * FROM file('{rows}', 'RowBinary', '{columns}')")
            ask(f"OPTIMIZE TABLE d.{name} FINAL")
        for name, sql in questions.items():
            took: dict[str, list[float]] = {order: [] for order in ORDERS}
            found = ""
            for _ in range(runs):
                for order, ms in took.items():
                    began = time.perf_counter()
                    found = str(ask(sql.format(table=f"d.{order}"), "CSV"))
                    ms.append(1000 * (time.perf_counter() - began))
            print(json.dumps({"question": name, "ms": took, "found": found}), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
