"""The result of `serving_peers.py` as an SVG: p99 over load, and saturation beside goodput at 150 %."""

import math
from collections.abc import Iterable
from typing import Any

from peers.summary import LEVELS, latency, over_rounds

WIDTH, HEIGHT = 960, 400
LEFT, TOP, BOTTOM = 60, 40, 350
PANEL = 380
COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e08214", "#e377c2")


def chart(result: dict[str, Any]) -> str:
    """The picture."""
    servers = {name: server for name, server in result["servers"].items() if server["rounds"]}
    colours = dict(zip(servers, COLOURS, strict=False))
    parts = [*_latencies(servers, colours), *_rates(servers, colours)]
    title = f"{result['bundle']}, {result['machine']['processor']}, {result['date']}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
            ' font-size="12">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            _text(LEFT, HEIGHT - 8, title, "#666"),
            *parts,
            "</svg>\n",
        ]
    )


def _latencies(servers: dict[str, Any], colours: dict[str, str]) -> Iterable[str]:
    """One line a server, on a logarithmic axis from 10 ms to 1 s and a half."""
    low, high = math.log10(10.0), math.log10(1500.0)

    def y(milliseconds: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (math.log10(min(max(milliseconds, 10.0), 1500.0)) - low) / (high - low)

    yield _text(LEFT, TOP - 18, "p99 (ms) at a share of the server's own saturation", "black")
    for milliseconds in (10, 20, 50, 100, 200, 500, 1000):
        yield _line(LEFT, y(milliseconds), LEFT + PANEL, y(milliseconds), "#ddd")
        yield _text(LEFT - 8, y(milliseconds) + 4, str(milliseconds), "#444", "end")
    xs = [LEFT + 30 + i * (PANEL - 60) / (len(LEVELS) - 1) for i in range(len(LEVELS))]
    for x, level in zip(xs, LEVELS, strict=True):
        yield _text(x, BOTTOM + 18, level.replace("%", " %"), "#444", "middle")
    for name, server in servers.items():
        points = [(x, y(over_rounds(server, latency(level, "p99")))) for x, level in zip(xs, LEVELS, strict=True)]
        path = " ".join(f"{x:.1f},{height:.1f}" for x, height in points)
        yield f'<polyline points="{path}" fill="none" stroke="{colours[name]}" stroke-width="2"/>'
        for x, height in points:
            yield f'<circle cx="{x:.1f}" cy="{height:.1f}" r="3" fill="{colours[name]}"/>'


def _rates(servers: dict[str, Any], colours: dict[str, str]) -> Iterable[str]:
    """Two bars a server: saturation, and below it, paler, goodput at 150 %."""
    left, right = LEFT + PANEL + 170, WIDTH - 60
    saturations = {
        name: over_rounds(server, lambda measured: measured["saturation"]) for name, server in servers.items()
    }
    goodputs = {
        name: over_rounds(server, lambda measured: measured["levels"]["150%"]["goodput"])
        for name, server in servers.items()
    }
    scale = (right - left) / max([*saturations.values(), *goodputs.values()])
    yield _text(left - 150, TOP - 18, "calls a second: saturation and, paler, goodput at 150 %", "black")
    step = (BOTTOM - TOP) / max(1, len(servers))
    for i, name in enumerate(servers):
        top = TOP + i * step
        yield _text(left - 8, top + step / 2, name, "black", "end")
        for offset, rate, opacity in ((0.15, saturations[name], 1.0), (0.5, goodputs[name], 0.45)):
            yield (
                f'<rect x="{left}" y="{top + offset * step:.1f}" width="{rate * scale:.1f}" height="{0.3 * step:.1f}"'
                f' fill="{colours[name]}" opacity="{opacity}"/>'
            )
            yield _text(left + rate * scale + 5, top + (offset + 0.22) * step, f"{rate:.1f}", "#444")


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{escaped}</text>'
