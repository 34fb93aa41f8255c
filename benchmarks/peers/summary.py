"""The result of `serving_peers.py` as tables in Markdown. Several rounds give their median."""

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

OURS = "semantic-palette"
LEVELS = ("30%", "70%", "100%", "150%")


def tables(result: dict[str, Any]) -> str:
    """Speed, cost, harm, ratios and what failed."""
    servers: dict[str, Any] = result["servers"]
    measured = {name: server for name, server in servers.items() if server["rounds"]}
    parts = [_speed(measured), _cost(measured), _harm(measured), _ratios(measured)]
    failed = [f"- {name}: {server['failure']}" for name, server in servers.items() if server["failure"]]
    return "\n\n".join([*parts, *(["Failed:\n" + "\n".join(failed)] if failed else [])])


def over_rounds(server: dict[str, Any], value: Callable[[dict[str, Any]], float]) -> float:
    """Median of a value over rounds."""
    return median(value(measured) for measured in server["rounds"])


def latency(level: str, percentile: str) -> Callable[[dict[str, Any]], float]:
    """Reads a percentile in milliseconds from a round; infinite where nothing was answered."""

    def read(measured: dict[str, Any]) -> float:
        seconds = measured["levels"][level]["latency"]
        return 1e3 * seconds[percentile] if seconds else float("inf")

    return read


def goodput_share(measured: dict[str, Any]) -> float:
    """Goodput at 150 % as a share of the saturation of the same round."""
    return float(measured["levels"]["150%"]["goodput"] / measured["saturation"])


def _speed(servers: dict[str, Any]) -> str:
    rows = []
    for name, server in servers.items():
        times = [
            f"{over_rounds(server, latency(level, 'p50')):.0f} / {over_rounds(server, latency(level, 'p99')):.0f}"
            for level in LEVELS
        ]
        rates = "-".join(f"{rate:.1f}" for rate in sorted(measured["saturation"] for measured in server["rounds"]))
        shares = ", ".join(f"{100 * goodput_share(measured):.0f} %" for measured in server["rounds"])
        rows.append([name, rates, *times, shares])
    heads = [f"p50 / p99 at {level[:-1]} % (ms)" for level in LEVELS]
    return _table(
        ["server", "saturation (calls/s), by round", *heads, "goodput at 150 %, of saturation, by round"], rows
    )


def _cost(servers: dict[str, Any]) -> str:
    rows = []
    for name, server in servers.items():
        cpu = over_rounds(server, lambda measured: 1e3 * measured["levels"]["70%"]["cpu_seconds_per_call"])
        ready = over_rounds(server, lambda measured: measured["ready_seconds"])
        others = ", ".join(f"{measured['cores_used_by_others']:.1f}" for measured in server["rounds"])
        memory, idle = server["memory_bytes"] / 1e6, 100 * server["idle_cpu"]
        rows.append([name, f"{memory:.0f}", f"{idle:.2f} %", f"{cpu:.1f}", f"{ready:.1f}", others])
    head = ["server", "memory (MB, PSS)", "idle CPU, of a core", "CPU a call at 70 % (ms)", "ready after (s)"]
    head.append("cores that other processes used, by round")
    return _table(head, rows)


def _harm(servers: dict[str, Any]) -> str:
    rows = []
    for name, server in servers.items():
        cancels, poison = server["cancels"], server["poison"]
        rows.append(
            [
                name,
                f"{cancels['cancelled']} cancelled; of {_valid(cancels)} others {_bad(cancels)}",
                _bad(server["after_cancels"]),
                f"{_counts(poison['poison'])}; of {_valid(poison)} others {_bad(poison)}",
                _bad(server["after_poison"]),
            ]
        )
    return _table(["server", "a fifth cancelled", "after that", "a twentieth invalid", "after that"], rows)


def _ratios(servers: dict[str, Any]) -> str:
    peers = [server for name, server in servers.items() if not name.startswith(OURS)]
    rows = []
    for name, server in servers.items():
        if not (name.startswith(OURS) and peers):
            continue
        rates, tails = [], []
        for number, measured in enumerate(server["rounds"]):
            rivals = [peer["rounds"][number] for peer in peers if len(peer["rounds"]) > number]
            if not rivals:
                continue
            best, tail = max(rivals, key=lambda rival: rival["saturation"]), latency("70%", "p99")
            rates.append(measured["saturation"] / best["saturation"])
            tails.append(tail(measured) / tail(best))
        rows.append([name, _each(rates), _each(tails)])
    head = ["server", "saturation / highest of a peer, by round", "p99 at 70 % / that peer's, by round"]
    return _table(head, rows)


def _each(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _valid(report: dict[str, Any]) -> int:
    return sum(report["statuses"].values())


def _bad(report: dict[str, Any]) -> str:
    bad = {status: count for status, count in report["statuses"].items() if status != "OK"}
    return f"{_counts(bad)}" if bad else "none failed"


def _counts(statuses: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in statuses.items()) or "none"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
