"""How many page views of the tracker a second does one Hail accept, each confirmed by a quorum queue, beside plain hits.

    python -m benchmarks.track
    python -m benchmarks.track --runs 5 --seconds 5

64 clients post one page view each at a time, with one of 500 User-Agents (Zipf), one of 8 pages before it, 2,000 pages, and an id and a
visitor of its own. Plain hits are POSTs to /count of a hit as the other benchmarks have it (country and region, device, page, revenue),
with an id, an event and a visitor. Both go to the same Hail in turns. The machine does other work, so CPU time tells more than rates.
"""

import argparse
from collections import defaultdict

from benchmarks.report import Figure, report
from benchmarks.services import Asked, Setup, cpu_seconds, wrk
from hail.broker import dead_name
from tests.servers import RabbitMQ

VIEWS, PLAIN = "page views", "plain hits"
RATIO = 0.6
LUA = """
local agents, edges, sum = {}, {}, 0
for i = 1, 500 do
  agents[i] = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/" .. i .. ".0.0.0 Safari/537.36"
  sum = sum + 1 / i
  edges[i] = sum
end
local befores = {"", "https://shop.example/", "https://shop.example/a", "https://shop.example/b", "https://shop.example/c",
  "https://www.google.com/", "https://l.facebook.com/", "https://blog.example.org/"}
local function agent()
  local drawn, low, high = math.random() * sum, 1, 500
  while low < high do
    local middle = math.floor((low + high) / 2)
    if edges[middle] < drawn then low = middle + 1 else high = middle end
  end
  return agents[low]
end
local n = math.random(1000000) * 1000000
local fields = {["Content-Type"] = "text/plain;charset=UTF-8", ["Origin"] = "https://shop.example"}
request = function()
  n = n + 1
  fields["User-Agent"] = agent()
  local page = math.random(2000)
  return wrk.format("POST", PATH, fields, BODY)
end
"""
VIEW = (
    """'{"account":"default","site":"web","hits":[{"id":"' .. n .. '","event":"pageview","url":"https://shop.example/p/' .. page ..
    '","referrer":"' .. befores[math.random(8)] .. '","title":"A page","width":1280,"screen":"1920x1080","language":"de-DE","load":' ..
    math.random(2000) .. ',"v_visitor":"v' .. n % 5000 .. '","session":"s' .. n % 5000 .. '","tab":"t1"}]}'""",
    '"/track"',
)
HIT = (
    """'{"pk":"web","id":"' .. n .. '","dimensions":{"country":{"C' .. math.random(200) .. '":"r' .. math.random(5) .. '"},"device":"d' ..
    math.random(5) .. '","page":"/p/' .. page .. '"},"metrics":{"hits":1,"revenue":' .. math.random(100) / 4 .. '},"visitor":"v' ..
    n % 5000 .. '","event":"pageview"}'""",
    '"/count"',
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, list[Asked]] = defaultdict(list)
    spent: dict[str, list[float]] = defaultdict(list)
    with RabbitMQ() as rabbitmq:
        settings = {"HAILWHALE_QUEUE_MAX_MESSAGES": "1000000", "HAILWHALE_MESSAGE_VERSION": "2"}
        setup = Setup("", rabbitmq.url, **settings)
        with setup.hail() as service:
            for run in range(options.runs + 1):
                for name, what in ((VIEWS, VIEW), (PLAIN, HIT)):
                    used = cpu_seconds(service.process.pid)
                    asked = wrk(f"http://127.0.0.1:{setup.hail_port}/", options.seconds, requests=script(*what))
                    rabbitmq.purge(setup.settings.queue, dead_name(setup.settings))
                    if run:  # after a first round that is not measured
                        found[name].append(asked)
                        spent[name].append((cpu_seconds(service.process.pid) - used) / asked.answered * 1e6)
    figures = []
    for name, asked_of in found.items():
        figures.append(Figure(name, [one.rate for one in asked_of], "hits/s"))
        figures.append(Figure("  p50", [one.p50_ms for one in asked_of], "ms"))
        figures.append(Figure("  p99", [one.p99_ms for one in asked_of], "ms"))
        figures.append(Figure("  CPU time of Hail", spent[name], "us/hit"))
        figures.append(Figure("  refused", [one.refused for one in asked_of], "", 0, less=True))
    ratios = [view.rate / hit.rate for view, hit in zip(found[VIEWS], found[PLAIN], strict=True)]
    figures.append(Figure("page views to plain hits", ratios, "", RATIO))
    times = [hit / view for view, hit in zip(spent[VIEWS], spent[PLAIN], strict=True)]
    figures.append(Figure("the same by CPU time of Hail", times, "", RATIO))
    report("track", figures)


def script(body: str, path: str) -> str:
    return LUA.replace("PATH", path).replace("BODY", body.replace("\n", " "))


if __name__ == "__main__":
    main()
