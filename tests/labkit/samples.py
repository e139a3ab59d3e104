# SPDX-License-Identifier: Apache-2.0
# labkit/samples.py – what the meters wrote, read back: times in seconds of the monotonic clock.
import csv
import dataclasses

TAP_BIN_S = 0.01


def rows(path):
    """Lines of a CSV file; a last line that a killed tool left half-written is left out."""
    text = path.read_text(encoding="ascii") if path.exists() else ""
    text = text[:text.rfind("\n") + 1]
    lines = [line for line in text.splitlines() if line != "ready"]
    wanted = len(lines[0].split(",")) if lines else 0
    return list(csv.DictReader(line for line in lines if line.count(",") == wanted - 1))


class Flow:
    """Bytes by time, in bins of equal width; what is not there is zero."""

    def __init__(self, width_s):
        self.width = width_s
        self.bins = {}

    def add(self, at_s, count):
        number = round(at_s / self.width)
        self.bins[number] = self.bins.get(number, 0) + count

    def bytes(self, begin, end):
        first, last = round(begin / self.width), round(end / self.width)
        return sum(self.bins.get(n, 0) for n in range(first, last))

    def bps(self, begin, end):
        return 8 * self.bytes(begin, end) / (end - begin) if end > begin else 0.0

    def means(self, begin, end, width):
        """[(time, bit/s)] of consecutive windows of `width` seconds."""
        count = int((end - begin) / width + 1e-6)
        edges = [begin + n * width for n in range(count)]
        return [(at, self.bps(at, at + width)) for at in edges]


@dataclasses.dataclass
class Trip:
    at: float
    rtt: float   # seconds; None: lost
    up: float
    down: float


@dataclasses.dataclass
class Page:
    at: float
    bytes: int
    took: float
    name: str = ""   # of whom and the how-manieth, where the same office is played twice


def read_tap(path):
    """{kind: (Flow received, Flow sent)} at the interface where the tap sat; for each kind there is
    also "kind large", of packets that can only be content."""
    flows = {}
    for row in rows(path):
        down, up = flows.setdefault(row["kind"], (Flow(TAP_BIN_S), Flow(TAP_BIN_S)))
        at = int(row["bin_us"]) / 1e6
        down.add(at, int(row["rx_bytes"]))
        up.add(at, int(row["tx_bytes"]))
        if int(row["rx_large"]) > 0:
            large = flows.setdefault(f"{row['kind']} large", (Flow(TAP_BIN_S), Flow(TAP_BIN_S)))
            large[0].add(at, int(row["rx_large"]))
    return flows


def read_meter(path):
    """(moment it began, seconds, bytes) of one download or upload."""
    found = [(int(row["bin_us"]) / 1e6, int(row["bytes"])) for row in rows(path)]
    return found


def read_trips(path):
    trips = []
    for row in rows(path):
        lost = row["rtt_us"] == "-1"
        values = [None if lost else int(row[key]) / 1e6 for key in ("rtt_us", "up_us", "down_us")]
        trips.append(Trip(int(row["sent_us"]) / 1e6, *values))
    return sorted(trips, key=lambda trip: trip.at)


def read_pages(path):
    return [Page(int(row["began_us"]) / 1e6, int(row["bytes"]), int(row["took_us"]) / 1e6,
                 row.get("name", "")) for row in rows(path)]


def read_law(path):
    """(time, what the law took for the empty line's round trip)."""
    return [(int(row["at_us"]) / 1e6, int(row["base_us"]) / 1e6) for row in rows(path)]


def read_queue(path):
    return [(float(row["t_s"]), float(row["backlog_ms"])) for row in rows(path)
            if row["dir"] == "ab"]
