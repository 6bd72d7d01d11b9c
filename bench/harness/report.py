# SPDX-License-Identifier: BSD-2-Clause
"""The table for people (80 columns) and the JSON for programs."""
import statistics
import textwrap

WIDTH = 80
NAME = 34
TWO_STATES = 2.0  # largest over smallest cache-line round trip that says the host moved the CPUs meanwhile
DISTURBED_CPUS = 0.05


def _number(value):
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def _wrapped(text, indent="    "):
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False)


def _row_lines(row):
    if not row.usable():
        reason = f"failed: {row.failed}" if row.failed else f"skipped: {row.skipped or 'not run'}"
        return [f"  {row.name}", _wrapped(reason)]
    values, cpu, loss = row.values(), row.median_detail("cpu_ns_per_packet"), row.median_detail("loss_percent")
    line = (f"  {row.name[:NAME]:{NAME}}{_number(statistics.median(values)):>8} {row.unit:<4}"
            f"{_number(min(values)):>8}{_number(max(values)):>8}"
            f"{'' if cpu is None else f'{cpu:.0f}':>8}{'' if loss is None else f'{loss:.1f}':>7}")
    return [line.rstrip()]


def _cache_line_states(group):
    """The states that cross-core figures were taken in, so that nobody compares one with the other."""
    seen = [detail[key] for row in group.rows for detail in (sample.detail for sample in row.samples)
            for key in ("c2c_before_ns", "c2c_after_ns") if key in detail]
    if not seen:
        return []
    text = f"cache line there and back {min(seen):.0f} to {max(seen):.0f} ns around these runs"
    if max(seen) > TWO_STATES * min(seen):
        text += ": the host moved the CPUs meanwhile, compare ratios only (docs/benchmarks.md)"
    return [_wrapped(text)]


def _disturbances(group):
    def worst(key):
        return max((sample.detail.get(key, 0.0) for row in group.rows for sample in row.samples), default=0.0)

    lines = []
    if worst("steal") > DISTURBED_CPUS:
        lines.append(_wrapped(f"the host took up to {100 * worst('steal'):.0f}% of a CPU away during these runs"))
    if worst("cpus_used_by_others") > DISTURBED_CPUS:
        lines.append(_wrapped(f"other programs used up to {100 * worst('cpus_used_by_others'):.0f}% of a CPU during these "
                              "runs: run again on a quiet machine"))
    return lines


def _check_line(check, rows):
    outcome = check.outcome(rows)
    if outcome is None:
        return "    -> not measured: " + check.text if check.relation else None
    text = f"-> {_number(outcome['median'])} ({_number(outcome['min'])} to {_number(outcome['max'])}) {check.text}"
    if check.relation:
        text += f"; wanted {check.relation} {check.target:g}: {'reached' if outcome['reached'] else 'MISSED'}"
    return _wrapped(text)


def group_text(group, runs, seconds):
    rows = {row.name: row for row in group.rows}
    plural = "s" if runs > 1 else ""
    cpu, loss = (any(row.median_detail(key) is not None for row in group.rows)
                 for key in ("cpu_ns_per_packet", "loss_percent"))
    lines = ["", group.title, f"  {f'{runs} run{plural} of {seconds:g} s':{NAME}}{'median':>8}     {'min':>8}{'max':>8}"
                              f"{'CPU ns' if cpu else '':>8}{'lost %' if loss else '':>7}".rstrip()]
    for row in group.rows:
        lines += _row_lines(row)
    lines += [line for check in group.checks if (line := _check_line(check, rows))]
    lines += _cache_line_states(group)
    lines += _disturbances(group)
    return "\n".join(lines)


def header_text(facts, cache_line):
    lines = [f"{facts['cpu']}, {facts['cpus_usable']} CPUs{', virtual' if facts['virtual'] else ''}, "
             f"{facts['memory_mib']} MiB, Linux {facts['kernel']}"]
    if cache_line:
        lines.append(f"cache line there and back between two CPUs: {cache_line:.0f} ns")
    if facts["load_average_at_start"] > 0.5:
        lines.append(f"load average {facts['load_average_at_start']:.1f} at the start: something else is running, "
                     "expect a spread")
    return "\n".join(_wrapped(line, "") for line in lines)


def group_json(group):
    rows = {row.name: row for row in group.rows}
    return {
        "name": group.name, "title": group.title,
        "rows": [{"name": row.name, "unit": row.unit, "skipped": row.skipped or None, "failed": row.failed or None,
                  **({"median": statistics.median(row.values()), "min": min(row.values()), "max": max(row.values())}
                     if row.samples else {}),
                  "samples": [{"value": sample.value, **sample.detail} for sample in row.samples]} for row in group.rows],
        "checks": [{"text": check.text, "row": check.row, "base": check.base, "relation": check.relation or None,
                    "target": check.target if check.relation else None, "outcome": check.outcome(rows)}
                   for check in group.checks],
    }
