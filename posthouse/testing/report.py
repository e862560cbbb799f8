"""What a chaos run came to, for people: lines for a terminal, and one page with a time line that needs nothing else.

The page is plain HTML with drawings in it, readable in light and dark, and by itself: no script, no style from afar.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from html import escape
from typing import Final

from rich.console import Console
from rich.table import Table

import posthouse
from posthouse.testing.chaos import Outcome
from posthouse.testing.timeline import NS, LaneLine, Timeline

WIDTH: Final = 960
ROW: Final = 64
LEFT: Final = 84
"""Of the drawings, in pixels."""


def tell(outcome: Outcome, console: Console) -> None:
    """The verdict first, then what it rests on."""
    verdict = outcome.verdict
    seconds = (outcome.ended_ns - outcome.began_ns) / NS
    console.print(f"[bold]{_headline(outcome)}[/]")
    for text in verdict.shown:
        console.print(f"  {text}", markup=False)
    console.print(
        f"seed {outcome.settings.seed}, {seconds:.0f} s with {outcome.kills} kills, "
        f"drained {outcome.drained_s:.1f} s after the last; {_counted(outcome)}"
    )
    lanes = Table("lane", "confirmed", "delivered", "longest without a confirm", "without a delivery", box=None)
    for lane in outcome.timeline.lanes:
        lanes.add_row(*_lane_cells(lane))
    console.print(lanes)
    faults = Table("fault", "times", box=None)
    for kind, count in verdict.faults.most_common():
        faults.add_row(kind, f"{count:,}")
    console.print(faults)


def page(outcome: Outcome) -> str:
    """The same as HTML, with the time line."""
    verdict = outcome.verdict
    is_clean = "clean" if verdict.is_clean else "broken"
    shown = "".join(f"<li>{escape(text)}</li>" for text in verdict.shown)
    lanes = _table(
        ["lane", "confirmed", "delivered", "longest time without a confirm", "longest time without a delivery"],
        [_lane_cells(lane) for lane in outcome.timeline.lanes],
    )
    faults = _table(*_fault_table(verdict.faults))
    memory = _table(
        ["process", "samples", "memory at first", "at last", "most", "descriptors at most"], _memory(outcome)
    )
    calls = ", ".join(f"{count:,} {name}" for name, count in verdict.calls.most_common())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>posthouse chaos, seed {outcome.settings.seed}</title><style>{_STYLE}</style></head><body>
<h1 class="{is_clean}">{escape(_headline(outcome))}</h1>
{f"<ul class='broken'>{shown}</ul>" if shown else ""}
<p>posthouse {posthouse.__version__}, seed {outcome.settings.seed}:
{(outcome.ended_ns - outcome.began_ns) / NS:.0f} s of faults, {outcome.kills:,} kills; everything was delivered and
acknowledged {outcome.drained_s:.1f} s after the last fault. {escape(_counted(outcome))}. Calls: {escape(calls)}.</p>
<h2>Over time</h2>
<p>One row for each pattern, with its highest rate. Line: messages confirmed per second; area: messages delivered per
second. Red below a row: nothing was confirmed there. Marks on top: red ones are kills, orange ones pauses, and those
that go all the way down hit the supervisor or everything.</p>
<div class="wide">{_drawing(outcome)}</div>
<h2>Patterns</h2>{lanes}
<p>The longest time without a confirm is the longest unavailability a publisher has seen: the clients of a lane stand
still while its exchange, its queue or the whole broker is dead or stopped, and go on by themselves.</p>
<h2>Faults</h2>{faults}
<h2>Processes</h2>{memory}
</body></html>
"""


def _headline(outcome: Outcome) -> str:
    verdict = outcome.verdict
    if verdict.is_clean:
        return f"Every promise was kept: {verdict.counts['confirmed']:,} confirmed messages, {outcome.kills:,} kills"
    broken = ", ".join(f"{promise} {count:,} times" for promise, count in sorted(verdict.violations.items()))
    return f"Promises were broken: {broken}"


def _counted(outcome: Outcome) -> str:
    counts, lateness = outcome.verdict.counts, sorted(outcome.verdict.lateness_ms)
    names = ("published", "confirmed", "unknown", "delivered", "acked", "nacked", "rejected")
    text = ", ".join(f"{counts[name]:,} {name}" for name in names)
    if len(lateness) > 1:
        cuts = statistics.quantiles(lateness, n=100)
        text += (
            f"; delayed messages came {cuts[49]:.0f} ms late in the median, {cuts[98]:.0f} ms at p99, without faults"
        )
    return text


def _lane_cells(lane: LaneLine) -> list[str]:
    totals = [sum(lane.confirmed.values()), sum(lane.delivered.values())]
    return [
        lane.name,
        *(f"{total:,}" for total in totals),
        f"{lane.confirm_gap_s:.2f} s",
        f"{lane.delivery_gap_s:.2f} s",
    ]


def _fault_table(faults: Counter[str]) -> tuple[list[str], list[list[str]]]:
    """A row for each kind of target, a column for each kind of fault, the most frequent first."""
    kinds: Counter[str] = Counter()
    targets: Counter[str] = Counter()
    for name, count in faults.items():
        kind, _, target = name.partition(" ")
        if kind in ("bind", "phase"):
            continue
        kinds[kind] += count
        targets[target] += count
    order = [kind for kind, _ in kinds.most_common()]
    rows = []
    for target, _ in targets.most_common():
        counts = (faults[f"{kind} {target}"] for kind in order)
        rows.append([target, *(f"{count:,}" if count else "" for count in counts)])
    return ["", *order], rows


def _memory(outcome: Outcome) -> list[list[str]]:
    rows = []
    for actor, samples in sorted(outcome.meters.samples.items()):
        memory = [sample.rss_bytes / 2**20 for sample in samples]
        most = max(sample.descriptors for sample in samples)
        sizes = [f"{size:.0f} MiB" for size in (memory[0], memory[-1], max(memory))]
        rows.append([actor, f"{len(samples)}", *sizes, f"{most}"])
    return rows


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"


# ---- the time line ----


def _drawing(outcome: Outcome) -> str:
    timeline = outcome.timeline
    height = ROW * len(timeline.lanes) + 24
    rows = "".join(_row(timeline, lane, index) for index, lane in enumerate(timeline.lanes))
    marks = "".join(_mark(outcome, blow.at_ns, blow.kind, blow.target, height) for blow in outcome.blows)
    seconds = (timeline.ended_ns - timeline.began_ns) / NS
    ticks = "".join(
        f'<text class="tick" x="{LEFT + (WIDTH - LEFT) * share:.0f}" y="{height - 4}" text-anchor="{anchor}">'
        f"{seconds * share:.0f} s</text>"
        for share, anchor in ((0.0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1.0, "end"))
    )
    label = f"Messages per second over {seconds:.0f} s for each pattern, with marks where something was killed"
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}" width="{WIDTH}" height="{height}">'
        f"{marks}{rows}{ticks}</svg>"
    )


def _row(timeline: Timeline, lane: LaneLine, index: int) -> str:
    bins = timeline.bins
    per_s = [[values.get(at, 0) / timeline.bin_s for at in range(bins)] for values in (lane.delivered, lane.confirmed)]
    top = max(1.0, *(max(line) for line in per_s))
    base = ROW * (index + 1) - 6

    def point(at: int, value: float) -> str:
        x = LEFT + (WIDTH - LEFT) * (at / max(1, bins - 1))
        return f"{x:.1f},{base - (ROW - 18) * value / top:.1f}"

    area = " ".join(point(at, value) for at, value in enumerate(per_s[0]))
    line = " ".join(point(at, value) for at, value in enumerate(per_s[1]))
    return (
        f'<text class="name" x="0" y="{base - ROW / 2 + 6:.0f}">{escape(lane.name)}</text>'
        f'<text class="tick" x="0" y="{base - ROW / 2 + 20:.0f}">{top:,.0f} /s</text>'
        f'<polygon class="area" points="{LEFT},{base} {area} {WIDTH},{base}"/><polyline class="line" points="{line}"/>'
        + "".join(_standstill(first, last, bins, base) for first, last in _empty_bins(per_s[1]))
    )


def _empty_bins(values: list[float]) -> list[tuple[int, int]]:
    """The stretches without any, first and last bin; the time before the first that has some is none."""
    found: list[tuple[int, int]] = []
    has_begun = False
    for at, value in enumerate(values):
        has_begun = has_begun or value > 0
        if value or not has_begun:
            continue
        if found and found[-1][1] == at - 1:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def _standstill(first: int, last: int, bins: int, base: int) -> str:
    step = (WIDTH - LEFT) / max(1, bins - 1)
    x = LEFT + step * max(0.0, first - 0.5)
    end = min(float(WIDTH), LEFT + step * (last + 0.5))
    return f'<rect class="down" x="{x:.1f}" y="{base + 1}" width="{end - x:.1f}" height="3"/>'


def _mark(outcome: Outcome, at_ns: int, kind: str, target: str, height: int) -> str:
    if kind not in ("kill", "stop", "hang", "failpoint"):
        return ""
    share = (at_ns - outcome.began_ns) / max(1, outcome.ended_ns - outcome.began_ns)
    x = LEFT + (WIDTH - LEFT) * min(1.0, max(0.0, share))
    is_whole = target in ("everything", "supervisor")
    name = "stop" if kind in ("stop", "hang") else "whole" if is_whole else "kill"
    end = height - 20 if is_whole else 8
    title = f"<title>{escape(f'{kind} {target}')}</title>"
    return f'<line class="{name}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{end}">{title}</line>'


_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1d2430;--soft:#667;--line:#2563eb;--area:#93c5fd;--rule:#ccd}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#9aa3b2;--line:#7db2ff;--area:#23406b;--rule:#3a4252}}
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:var(--ink)}
h1{font-size:1.4rem;padding-left:.8rem;border-left:.4rem solid #16a34a}h1.broken{border-color:#dc2626}
h2{font-size:1.1rem;margin-top:2rem}.broken{color:#dc2626}.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.2rem .9rem .2rem 0;border-bottom:1px solid var(--rule)}
th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left}
.name{font:600 13px system-ui;fill:var(--ink)}.tick{font:11px system-ui;fill:var(--soft)}
.area{fill:var(--area);stroke:none}.line{fill:none;stroke:var(--line);stroke-width:1.2}
.down{fill:#dc2626}
line.kill{stroke:#dc2626;stroke-width:1.5}line.stop{stroke:#f59e0b;stroke-width:1.5}
line.whole{stroke:#dc2626;stroke-width:1;opacity:.45}
"""
