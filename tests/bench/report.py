"""Figures from the raw rows, and the tables of them."""

import statistics

from figures import COPIES, FLOOR, LUA, MANY, MIB, NATIVE, NONE, NOOP, OURS, OURS_WILDCARD, OWN_COPIES, SIZES

IDLE = 0.9
KINDS = ("no Origin", "allowed", "stranger")


class Figures:
    """Each figure is a list: its value in each round."""

    def __init__(self, results):
        self.rows = results["rows"]
        self.results = results

    def series(self, group, subject, kind, column):
        rows = [row for row in self.rows[group] if (row["subject"], row["kind"]) == (subject, kind)]
        return [row[column] for row in sorted(rows, key=lambda row: row["round"])]

    def copy(self, subject, kind):
        """Microseconds of CPU for one copy of a filter."""
        with_copies = self.series("per_copy", subject, kind, "cpu_us")
        without = self.series("per_copy", NONE, kind, "cpu_us")
        return [(a - b) / COPIES for a, b in zip(with_copies, without)]

    def whole(self, subject, kind):
        """Microseconds of CPU for a whole request."""
        return self.series("whole_request", subject, str(kind), "cpu_us")

    def own(self, subject, count):
        """Microseconds of CPU for one copy of ours."""
        with_copies = self.series("own_cost", subject, str(count), "cpu_us")
        without = self.series("own_cost", NONE, "1", "cpu_us")
        return [(a - b) / OWN_COPIES for a, b in zip(with_copies, without)]

    def in_turn(self, subject, count):
        return self.series("own_cost", subject, f"{count} in turn", "cpu_us")

    def above(self, subject, column, unit=1):
        """How much more many origins take than one."""
        many = self.series("start_and_memory", subject, str(MANY), column)
        one = self.series("start_and_memory", subject, "1", column)
        return [(a - b) / unit for a, b in zip(many, one)]

    def body(self, subject):
        """Milliseconds of CPU for 100 MiB."""
        return self.series("bodies", subject, "body", "cpu_ms")


def ratio(a, b):
    return [x / y for x, y in zip(a, b)]


def text(values, digits=2):
    """Median and range; a dash for what was not measured."""
    if not values:
        return "–"
    median = f"{statistics.median(values):,.{digits}f}"
    return median if len(values) == 1 else f"{median} ({min(values):,.{digits}f} … {max(values):,.{digits}f})"


def table(head, rows):
    """In Markdown, aligned for readers of the plain text."""
    rows = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def targets(figures):
    """The aims: (figure, target, its values, digits)."""
    copy, whole = figures.copy, figures.whole
    rows = [
        ("a copy, no Origin, against the do-nothing filter", "≤ 1.1", ratio(copy(OURS, "no Origin"), copy(NOOP, "no Origin")), 2),
        ("a copy, allowed actual request, against the same", "≤ 1.7", ratio(copy(OURS, "allowed"), copy(NOOP, "allowed")), 2),
    ]
    for count, target in zip(SIZES, ("≤ 1.12", "≤ 0.85", "≤ 0.30", "≤ 0.05")):
        rows.append((f"whole request against native, {origins(count)}", target, ratio(whole(OURS, count), whole(NATIVE, count)), 3))
    for subject, name in ((OURS, "exact"), (OURS_WILDCARD, "wildcard")):
        own = ratio(figures.own(subject, MANY), figures.own(subject, 1))
        rows.append((f"our own cost at {origins(MANY)} against 1, {name}", "≤ 1.05", own, 2))
    rates = [figures.series("whole_request", subject, "preflight", "per_second") for subject in (OURS, NATIVE)]
    rows += [
        ("preflights a second against native", "≥ 0.85", ratio(*rates), 2),
        (f"{origins(MANY)}: resident memory above 1 origin, MiB", "≤ 25", figures.above(OURS, "resident", MIB), 1),
        (f"{origins(MANY)}: start-up above 1 origin, s", "≤ 0.4", figures.above(OURS, "start_s"), 2),
        ("100 MiB body against no filter", "≤ 1.02", ratio(figures.body(OURS), figures.body(NONE)), 3),
    ]
    [growth] = figures.rows["wasm_growth"]
    grown = sum(growth["pages_after"]) - sum(growth["pages_before"])
    rows += [
        (f"wasm memory growth over {growth['requests']:,} mixed requests, pages", "≤ 0", [grown], 0),
        ("size of envoy_cors.wasm, KiB", "≤ 128", [figures.results["size"] / 1024], 0),
    ]
    return rows


def reached(target, values):
    limit, value = float(target[2:]), statistics.median(values)
    return "yes" if (value >= limit if target[0] == "≥" else value <= limit) else "NO"


def origins(count):
    return f"{count:,} origin{'s' if count > 1 else ''}"


def render(results):
    figures = Figures(results)
    out = [f"# make bench, {results['date']}\n", results["machine"], METHOD.format(**results["cpus"])]
    if results["quick"]:
        out.append("This was a quick run: fewer rounds than 5, good for a first look only.\n")

    out.append("## Targets\n")
    rows = [(name, target, text(values, digits), reached(target, values)) for name, target, values, digits in targets(figures)]
    out.append(table(("figure", "target", "measured", "reached"), rows))

    out.append(f"## One copy of a filter, µs of CPU: {COPIES} copies in a chain, less none, divided by {COPIES}\n")
    rows = [[subject, *(text(figures.copy(subject, kind)) for kind in KINDS)] for subject in (NATIVE, NOOP, LUA, FLOOR, OURS)]
    out.append(table(("filter", *KINDS), rows))

    out.append("## Whole request, one copy: an allowed origin, the last one listed; and preflights\n")
    loads = [(subject, 1) for subject in (NONE, NOOP, LUA, FLOOR)]
    loads += [(subject, count) for count in SIZES for subject in (NATIVE, OURS)]
    loads += [(subject, "preflight") for subject in (NATIVE, FLOOR, OURS)]
    rows = []
    for subject, kind in loads:
        rates, busy = (figures.series("whole_request", subject, str(kind), column) for column in ("per_second", "busy"))
        shown = kind if kind == "preflight" else f"{kind:,}"
        rows.append((subject, shown, text(figures.whole(subject, kind), 1), text(rates, 0), text(busy)))
    out.append(table(("filter", "origins", "µs of CPU", "requests a second", "worker busy"), rows))

    out.append(f"## Ours with a long list: µs of CPU for one of {OWN_COPIES} copies, and for a whole request with 1 000 origins in turn\n")
    rows = []
    for subject in (OURS, OURS_WILDCARD):
        for count in (1, MANY):
            rows.append((subject, f"{count:,}", text(figures.own(subject, count)), text(figures.in_turn(subject, count), 1)))
    out.append(table(("filter", "origins", "one copy", "whole request, in turn"), rows))

    out.append(f"## {MANY:,} origins above 1: memory of one worker's Envoy in MiB, start-up\n")
    rows = []
    for subject in (OURS, OURS_WILDCARD, NOOP):
        memory = [text(figures.above(subject, column, MIB), 1) for column in ("resident", "wasm", "heap")]
        name = subject if subject != NOOP else f"{NOOP}, given the same text"
        rows.append((name, *memory, text(figures.above(subject, "start_s"))))
    out.append(table(("filter", "resident", "of that: VMs' linear memory", "Envoy's heap in use", "start-up, s"), rows))
    out.append("What is resident beyond the two parts was freed, and is kept by Envoy's allocator. Envoy holds copies of the text itself.\n")

    out.append("## 100 MiB response body, ms of CPU\n")
    rows = [(subject, text(figures.body(subject), 1), text(ratio(figures.body(subject), figures.body(NONE)), 3)) for subject in (NONE, NOOP, OURS)]
    out.append(table(("filter", "CPU", "against no filter"), rows))

    [growth] = figures.rows["wasm_growth"]
    out.append(f"## {growth['requests']:,} mixed requests, {growth['per_second']:,.0f} a second\n")
    rows = [
        (when, ", ".join(map(str, growth[f"pages_{key}"])), f"{growth[f'resident_{key}'] / MIB:.1f}")
        for when, key in (("after 5 s of them", "before"), ("after all", "after"))
    ]
    out.append(table(("", "pages of each VM's memory", "resident, MiB"), rows))
    busy = [row["busy"] for rows in results["rows"].values() for row in rows if "busy" in row]
    out.append(results["noise"])
    out.append(
        f"In {sum(share < IDLE for share in busy)} of {len(busy)} measurements under load the worker was on its CPU for less than\n"
        f"{IDLE:.0%} of the time: something else ran there, or on the other CPU, and those are the least exact.\n"
    )
    return "\n".join(out)


METHOD = """\
One Envoy with one worker thread on CPU {envoy}; everything else on CPU {load}: wrk with 16 connections that are always busy,
and the upstream, a second Envoy that answers with three bytes. So the worker is what limits, and its own CPU time (the
kernel's count for that thread), divided by the number of requests, is the cost: it does not depend on what wrk and upstream
cost, and little on what else the machine does. Requests carry a browser's usual headers, and responses come from the
upstream. All subjects are listeners of the same Envoy, which is new in each round; each is loaded for a second, in an order
that changes with the round; ratios are taken within a round.

Where copies of a filter form a chain, Envoy's header-mutation filter stands behind each, and as often in the chain without
copies: it takes away what the copies behind it have put on the response, so that each has the work that one alone has.

The floor makes the calls that CORS needs, with constants, without the SDK and without deciding anything: what no filter
undercuts in Envoy's Wasm host.

Given are the median of the rounds and their range: what lies within the range is noise. VM entries, hostcalls and
allocations are counted by `make test`.
"""
