"""The tables: measured, ratios, bars; for a terminal and as markdown."""
import fnmatch
import os
import platform
import statistics
import subprocess
import time

from cases import BARS, MEASURES
from proxies import ROOT

PEERS = ("nginx", "haproxy", "haproxy-splice")
MORE_IS_BETTER = ("rate", "gb_rate", "reloads")


def spread(values, form):
    middle = form.format(statistics.median(values))
    low, high = form.format(min(values)), form.format(max(values))
    return middle if low == high else f"{middle} ({low}–{high})"


def better_peer(row, measure):
    best = max if measure in MORE_IS_BETTER else min
    return best((name for name in PEERS if row.get(name)), key=lambda name: statistics.median(row[name]), default=None)


def ratio(row, one, other):
    """One run against the other's run of the same round, so that a slow minute of the machine cancels out."""
    if not row.get(one) or not row.get(other):
        return None
    pairs = [(a, b) for a, b in zip(row[one], row[other]) if b]
    return [a / b for a, b in pairs] or None


def subject(bench):
    """Whom the bars are for; before there is an spcd, the floor, so that they are known to be within reach."""
    return "spcd" if any(row.get("spcd") for row in bench.results.values()) else "floor"


def shown(values):
    return spread(values, "{:.2f}") if values else ""


def measured_table(bench):
    names = list(bench.proxies)
    rows = [["case", "measure", "unit", *names]]
    for (case, measure), row in bench.results.items():
        unit, form, _ = MEASURES[measure]
        rows.append([case, measure, unit, *(spread(row[name], form) if row.get(name) else "" for name in names)])
    return rows


def ratio_table(bench):
    one = subject(bench)
    rows = [["case", "measure", *(f"{one}/{peer}" for peer in PEERS), f"{one}/better peer",
             *(["spcd/floor", "floor/better peer"] if one == "spcd" else [])]]
    for (case, measure), row in bench.results.items():
        if not row.get(one):
            continue
        best = better_peer(row, measure)
        rows.append([case, measure, *(shown(ratio(row, one, peer)) for peer in PEERS), shown(ratio(row, one, best)),
                     shown(ratio(row, "spcd", "floor")), shown(ratio(row, "floor", best))][:len(rows[0])])
    return rows


def bar_table(bench):
    one = subject(bench)
    rows = [["case", "measure", "bar", one, "spread", "verdict"]]
    for bar in BARS:
        for (case, measure), row in bench.results.items():
            if measure != bar.measure or not fnmatch.fnmatch(case, bar.cases) or not row.get(one):
                continue
            other = better_peer(row, measure) if bar.against == "better" else bar.against
            values = row[one] if bar.against == "number" else ratio(row, one, other)
            if not values or (one == "floor" and other == "floor"):
                continue
            middle = statistics.median(values)
            what = {"number": "", "better": f" of the better peer ({other})"}.get(bar.against, f" of {other}")
            open_question = "?" if min(values) <= bar.limit < max(values) else ""
            rows.append([case, measure, f"at most {bar.limit:g}{what}", f"{middle:.3f}",
                         f"{min(values):.3f}–{max(values):.3f}",
                         ("pass" if middle <= bar.limit else "MISS") + open_question])
    return rows


def plain(rows):
    if len(rows) < 2:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def markdown(rows):
    if len(rows) < 2:
        return "none\n"
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip().splitlines()[0]
    except (FileNotFoundError, IndexError):
        return ""


def machine(bench):
    with open("/proc/cpuinfo", encoding="ascii") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
    load_average = "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg())
    versions = [first_line(command) for command in (["nginx", "-v"], ["haproxy", "-v"], ["gcc", "--version"])]
    if "spcd" in bench.proxies:
        versions.append("spcd " + first_line(["git", "-C", ROOT, "describe", "--always", "--dirty"]))
    return [f"{os.cpu_count()} × {model}, Linux {platform.release()}, load average at the end {load_average}",
            "; ".join(filter(None, versions)),
            f"{time.strftime('%Y-%m-%d')}, rounds: {bench.options.rounds}{', --quick' if bench.options.quick else ''}"]


METHOD = """\
Each case is run in rounds; in each round every proxy has its turn, a fresh process on ports never used before, and the
order rotates. One worker each (`worker_processes 1`, `nbthread 1`), pinned to one CPU; client and origin share another.
A cell is the median of the rounds with the least and the greatest; a ratio is the median of the ratios of the same
round; a verdict with a question mark is one that the spread reaches across. CPU is what the scheduler accounts to all
threads and processes of the proxy (`schedstat`, nanoseconds), with the kernel's work on its behalf. System calls are
counted by a tracepoint in a run of their own. `haproxy-splice` is HAProxy with `option splice-auto`; `floor` is the
barest loop of system calls we know that does the same work (`tests/bench/floor.c`).
Latencies are those the client saw, all of them in a closed loop; the 99th percentile contains the same client and
origin for each proxy, so that the one with the lesser adds the less.
"""


def instruction_lines(bench):
    for (proxy, case), counted in bench.instructions.items():
        functions = ", ".join(f"`{name}` {count:.0f}" for name, count in counted["functions"].items())
        yield f"{case}, {proxy}: {counted['all']:.0f}" + (f"; by function: {functions}" if proxy == "spcd" else "")


def report_text(bench):
    for title, table in (("measured", measured_table), ("ratios", ratio_table), ("bars of issue 4", bar_table)):
        text = plain(table(bench))
        if text:
            print(f"--- {title} ---\n{text}\n")
    for (case, name), counts in bench.breakdowns.items():
        print(f"--- {case} under strace, {name}: " + ", ".join(f"{call} {count:.2f}" for call, count in counts.items()))
    for name, lines in bench.traces.items():
        print(f"\n--- one short connection on an idle {name}, in order ---\n" + "\n".join(lines))
    for line in instruction_lines(bench):
        print(f"--- instructions in user space, {line}")
    for line in machine(bench) + bench.remarks:
        print(line)


def report_markdown(bench, file):
    put = lambda *lines: print(*lines, sep="\n", file=file)
    put(*(f"- {line}" for line in machine(bench)), "", METHOD)
    put("## Bars", "", markdown(bar_table(bench)), "## Ratios", "", markdown(ratio_table(bench)))
    put("## Measured", "", markdown(measured_table(bench)))
    used = {measure for _, measure in bench.results}
    put(*(f"- **{name}**: {what}" for name, (_, _, what) in MEASURES.items() if name in used), "")
    if bench.instructions:
        put("## Instructions in user space (callgrind)", "",
            *(f"- {line}" for line in instruction_lines(bench)), "")
    if bench.breakdowns:
        put("## System calls by name, for each connection or round trip, under strace", "")
        put(*(f"- {case}, {name}: " + ", ".join(f"`{call}` {count:.2f}" for call, count in counts.items())
              for (case, name), counts in bench.breakdowns.items()), "")
    for name, lines in bench.traces.items():
        put(f"## One short connection on an idle {name}, call by call", "", "```", *lines, "```", "")
    if bench.remarks:
        put("## Remarks", "", *(f"- {remark}" for remark in bench.remarks), "")
