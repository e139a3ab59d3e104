# SPDX-License-Identifier: Apache-2.0
# quickstart.d/table.py – counters before and after a step, as a table a newcomer understands.

COLUMN = 20
LABEL = 44


def size(count):
    """Bytes as people read them, in decimal units."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


class Step:
    """One step on all endpoints: what they installed, and where its bytes came from."""

    def __init__(self, name, seconds, wire, before, after, pulled):
        """`wire`: IP bytes on the WAN or None; `before` and `after`: the reflector's status;
        `pulled`: the event each endpoint's pull ended with."""
        self.name, self.seconds, self.wire = name, seconds, wire
        self.endpoints = len(pulled)

        def grown(*path):
            old, new = before, after
            for key in path:
                old, new = old[key], new[key]
            return new - old
        self.crossed = grown("chunks", "received_bytes")
        self.needed = grown("store", "live_bytes")
        self.served = grown("served", "bytes")
        self.installed = sum(event["content_bytes"] for event in pulled)
        self.there = sum(event["bytes_unchanged"] + event["bytes_local"] + event["bytes_resumed"]
                         for event in pulled)

    def albedo(self):
        """The share of the bytes served in the branch that did not cross the WAN."""
        return 1 - self.crossed / self.served if self.served else 1.0

    def sources(self):
        """Installed bytes by where they came from: (already there, branch cache, WAN)."""
        fetched = self.installed - self.there
        from_cache = round(fetched * self.albedo())
        return self.there, from_cache, fetched - from_cache


def _ratio(part, whole):
    return f"{part / whole:.3f}" if whole else "–"


def _times(part, whole):
    return f"{part / whole:.1f} bytes" if whole else "–"


def _share(part, whole):
    return f"{size(part)} ({100 * part / whole:.0f} %)" if whole else "–"


def _rows(steps, wan_rate):
    count = steps[0].endpoints
    sources = [(step.sources(), step.installed) for step in steps]

    def row(label, values):
        return label, list(values)
    yield row("", (step.name for step in steps))
    yield row(f"bytes installed, on {count} endpoints", (size(s.installed) for s in steps))
    yield row("  already on the endpoint", (_share(w[0], all_) for w, all_ in sources))
    yield row("  from the reflector, in the branch", (_share(w[1], all_) for w, all_ in sources))
    yield row("  over the WAN", (_share(w[2], all_) for w, all_ in sources))
    yield row("bytes on the WAN (compressed)",
              (size(s.crossed if s.wire is None else s.wire) for s in steps))
    yield row("installed for each byte on the WAN",
              (_times(s.installed, s.crossed if s.wire is None else s.wire) for s in steps))
    yield row("albedo: given without the WAN", (f"{100 * s.albedo():.1f} %" for s in steps))
    yield row("crossing ratio (1 = each byte once)", (_ratio(s.crossed, s.needed) for s in steps))
    if wan_rate:
        yield row("wire ratio (the same with all overhead)",
                  (_ratio(s.wire, s.needed) for s in steps))
        yield row(f"time, over a WAN of {wan_rate}", (f"{s.seconds:.1f} s" for s in steps))


def print_table(steps, wan_rate):
    """`wan_rate` is None where the link was not shaped: then no time is told."""
    for label, values in _rows(steps, wan_rate):
        print(f"{label:<{LABEL}}" + "".join(f"{value:>{COLUMN}}" for value in values))
    print()
    if wan_rate:
        print("Bytes on the WAN are IP bytes, by the counter of the branch's WAN interface.")
    else:
        print("link not shaped: everything ran on loopback, so no WAN time is told; bytes on the\n"
              "WAN are the chunks the reflector received, by its own counter.")
    print("Albedo is what the reflector gave its branch without using the WAN ÷ all it gave.\n"
          "Crossing ratio: chunk bytes that crossed ÷ the distinct chunks the branch needed.")
