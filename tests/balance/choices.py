#!/usr/bin/python3
"""Who is chosen, without traffic (choose.c): the order of turns, shares, rings, bounds, times, slow starts, many peers.
Last line: "N passed, N failed"."""
import os
import struct
import subprocess
import sys
import tempfile
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT + "/tests/engine")
sys.dont_write_bytecode = True

from tally import Tally  # noqa: E402

BUILD = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
KEYS = 100000
WEIGHTS = [7, 1, 1, 3, 1, 7, 2, 2, 5, 1]


class Group:
    """What stands in an upstream {}, compiled; .ask() runs what choose.c is told."""

    def __init__(self, method, weights, more=None, names=None):
        servers = "\n".join(f"server {name} weight={weight} {(more or {}).get(at, '')};" for at, (weight, name) in
                            enumerate(zip(weights, names or [f"10.0.{at >> 8}.{at & 255}:80" for at in range(len(weights))])))
        self.folder = tempfile.TemporaryDirectory(prefix="spc-")
        self.blob = self.folder.name + "/blob"
        with open(self.folder.name + "/conf", "w", encoding="ascii") as file:
            file.write(f"events {{}}\nstream {{ upstream g {{ {method}\n{servers} }}\n"
                       "server { listen 127.0.0.1:1; proxy_pass g; } }\n")
        subprocess.run([BUILD + "/spcc", "-o", self.blob, file.name], check=True, capture_output=True)

    def ask(self, lines):
        done = subprocess.run([BUILD + "/choose", self.blob, "g"], input="\n".join(lines) + "\n", capture_output=True,
                              text=True, check=True)
        return [int(word) for word in done.stdout.split()]

    def shares(self, count):
        return [one / count for one in self.ask([f"ask-many {count}"])]


def smooth(weights, count):
    """nginx's order, by its own way of counting."""
    current, order = [0] * len(weights), []
    for _ in range(count):
        current = [a + b for a, b in zip(current, weights)]
        best = max(range(len(weights)), key=lambda at: current[at])
        current[best] -= sum(weights)
        order.append(best)
    return order


def address(key):
    return struct.pack(">I", key)


def turns():
    for size in (3, 10, 16, 17, 300):
        weights = [WEIGHTS[at * at % 10] for at in range(size)]
        count = 3 * sum(weights)
        yield Group("", weights).ask(["ask 1"] * count) == smooth(weights, count), f"the order of {size} servers"


def shares():
    for method in ("", "least_conn;", "random;", "random two;", "hash $binary_remote_addr;", "maglev $binary_remote_addr;"):
        for size in (4, 200):
            weights = [1 + at % 3 for at in range(size)] if method != "random two;" else [1] * size
            many = 4000000 if size == 4 else 20000000
            count = 100000 if "random" not in method and "hash" not in method and "maglev" not in method else many
            seen = Group(method, weights).shares(count)
            worst = max(abs(share * sum(weights) / weight - 1) for share, weight in zip(seen, weights))
            least = 0.01 if size == 4 or method in ("", "least_conn;") else 0.03
            yield worst <= least, f"shares of {size} by {method or 'turns'}: {worst:.4f} off"


def ring(names, weights):
    """Cache::Memcached::Fast's, as nginx builds it."""
    points = {}
    for name, weight in zip(names, weights):
        host, port = name.rsplit(":", 1)
        base, last = zlib.crc32(host.encode() + b"\0" + port.encode()), 0
        for _ in range(160 * weight):
            last = zlib.crc32(struct.pack("<I", last), base)
            points.setdefault(last, names.index(name))
    return sorted(points.items())


def consistent():
    names = [f"10.1.{at}.7:{8000 + at}" for at in range(40)]
    weights = [1 + at % 3 for at in range(40)]
    points = ring(names, weights)
    seen = Group("hash $binary_remote_addr consistent;", weights, names=names).ask([f"ask {key}" for key in range(KEYS)])
    hashes = [point for point, _ in points]
    wrong = 0
    import bisect
    for key in range(KEYS):
        at = bisect.bisect_left(hashes, zlib.crc32(address(key)))
        wrong += points[at % len(points)][1] != seen[key]
    yield wrong == 0, f"the ring has each of {KEYS} keys where nginx has it: {wrong} differ"


def moved():
    """One of n servers leaves: its own keys move, and hardly any other."""
    for method in ("hash $binary_remote_addr consistent;", "maglev $binary_remote_addr;"):
        for size in (5, 50):
            names = [f"10.1.{at}.7:{8000 + at}" for at in range(size)]
            asked = [f"ask {key * 7919}" for key in range(KEYS)]
            before = Group(method, [1] * size, names=names).ask(asked)
            gone = names[:size // 2] + names[size // 2 + 1:]
            after = Group(method, [1] * (size - 1), names=gone).ask(asked)
            moves = sum(names[one] != gone[other] for one, other in zip(before, after)) / KEYS
            own = before.count(size // 2) / KEYS
            yield moves <= max(own, 1 / size) + 0.02, f"{moves:.3f} of the keys move, 1 of {size} leaves, {method}"


def bounded():
    """Half of the sessions are of one client: nobody has more than its bound."""
    for size in (5, 100):
        keys = [key if key % 2 else 1 for key in range(10000)]
        seen = Group("hash $binary_remote_addr consistent bounded=1.25;", [1] * size).ask([f"hold {key}" for key in keys])
        most = max(seen.count(at) for at in range(size))
        yield most <= 1.25 * len(keys) / size + 1, f"of {size} servers one has {most} of {len(keys)}"
        free = Group("hash $binary_remote_addr consistent;", [1] * size).ask([f"ask {key}" for key in range(100)])
        held = Group("hash $binary_remote_addr consistent bounded=1.25;", [1] * size).ask([f"ask {key}" for key in range(100)])
        yield free == held, "without sessions the bound moves nobody"


def least():
    for size in (5, 300):
        group = Group("least_conn;", [2] + [1] * (size - 1))
        held = group.ask(["hold 1"] * (size + 1))
        yield sorted(held) == [0, 0, *range(1, size)], f"least_conn fills {size} evenly"
        again = group.ask(["hold 1"] * (size + 1) + ["end 3", "end 4", "hold 1", "hold 1"])
        yield sorted(again[-2:]) == sorted(again[3:5]), f"and gives what became free of {size}"


def times():
    for size in (4, 300):
        for method in ("least_time connect;", "least_time last_byte;", "least_time first_byte inflight;"):
            group = Group(method, [1] * size)
            first = ["hold 1"] * size
            # who was chosen n-th takes 25+20n ms, so that all are known; then all end, and the fastest is asked first
            took = [f"took {at} {at * 20 + 25}" for at in range(size)] + [f"end {at}" for at in range(size)]
            seen = group.ask([*first, *took, "ask 1", "hold 1", "hold 1"])
            yield sorted(seen[:size]) == list(range(size)), f"{method} tries all of {size}"
            yield seen[size] == seen[0] and seen[size + 1] == seen[0], f"{method} takes the fastest of {size}"
            yield seen[size + 2] == seen[1], f"{method} then the next: {seen[size + 2]}, {seen[1]}"
    for size in (2, 40):
        slow = Group("least_time first_byte inflight;", [1] * size)
        first = ["hold 1"] * size + [f"took {at} {10 if at == 0 else 10000}" for at in range(size)]
        seen = slow.ask([*first, *[f"end {at}" for at in range(size)], "hold 1", "hold 1", "time 20", "hold 1"])
        yield seen[-3:-1] == [seen[0]] * 2 and seen[-1] != seen[0], f"inflight: sessions that wait make the best of {size} slow"
    slow = Group("least_time first_byte inflight;", [1, 1])
    seen = slow.ask(["hold 1", "hold 1", "took 0 10", "took 1 20", "end 0", "end 1", "hold 1", "time 1", "hold 1", "hold 1"])
    yield seen[2] == seen[0] and seen[3] == seen[1], "inflight: a session that lasts makes its server slower"
    seen = slow.ask(["hold 1", "hold 1", "took 0 10", "took 1 30", "time 5", "hold 1"])
    yield seen[2] == seen[0], "inflight: but not once its first byte has come"
    for method, size in (("least_time last_byte;", 2), ("random two least_time=last_byte;", 2), ("least_time last_byte;", 20)):
        again = Group(method, [1] * size, {at: "fail_timeout=10s" for at in range(size)})
        begin = [*["hold 1"] * size, "took 0 10", *[f"took {at} 3000" for at in range(1, size)],
                 *[f"end {at}" for at in range(size)]]
        seen = again.ask([*begin, *["ask 1"] * 50, "time 200", *["ask 1"] * 50])
        yield set(seen[size:size + 50]) == {seen[0]}, f"{method} leaves the slow of {size} alone"
        yield set(seen[size + 50:]) > {seen[0]}, f"{method} of {size} gives them another chance after a while"
    step = Group("least_time connect;", [1, 1])
    seen = step.ask(["hold 1", "hold 1", "took 0 21", "took 1 39", "end 0", "end 1", *["ask 1"] * 6])
    yield seen[2:].count(0) == 3, "times that are about the same are equal"
    large = Group("least_time last_byte;", [1] * 300)
    yield len(set(large.ask(["hold 1"] * 300))) == 300, "nothing is known of anybody: all have one session"


def last_method():
    """Of several methods the last one holds, and nothing is left of those before it."""
    group = Group("least_time connect inflight; hash $remote_addr consistent bounded=1.25; least_conn;", [1] * 3)
    held = ["hold 1"] * 3 + ["took 0 4000", "took 1 10", "took 2 4000", "time 9"]
    yield sorted(group.ask([*held, "hold 1", "hold 1", "hold 1"])[3:]) == [0, 1, 2], "least_conn goes by sessions alone"


def failures():
    """In a group of many who fails is out for its time, and the others share as their weights say."""
    weights = [1, 2] * 100
    out = ["fail 1"] * 60
    group = Group("", weights, {at: "max_fails=1 fail_timeout=10s" for at in range(200)})
    seen = group.ask([*out, *["ask 1"] * 3000])
    failed, rest = set(seen[:60]), seen[60:]
    yield len(failed) == 60 and not failed & set(rest), "who failed is out"
    light, heavy = ([rest.count(at) for at in range(200) if at not in failed and weights[at] == w] for w in (1, 2))
    ratio = (sum(heavy) / len(heavy)) / (sum(light) / len(light))
    yield 1.9 <= ratio <= 2.1, f"the others have their shares: {ratio:.2f}"
    full = Group("", [1, 2] * 100, {at: "max_conns=1" for at in range(0, 200, 4)})  # the first 50 of the light ones
    seen = full.ask([*["hold 1"] * 300, *["ask 1"] * 4000])
    light, heavy = ([seen[300:].count(at) for at in range(200) if at % 4 and weights[at] == w] for w in (1, 2))
    ratio = (sum(heavy) / len(heavy)) / (sum(light) / len(light))
    yield 1.9 <= ratio <= 2.1, f"so they have when others are full: {ratio:.2f}"
    back = group.ask([*out, "time 11", *["ask 1"] * 3000])[60:]
    yield failed <= set(back), "and all are back after their time"
    yield Group("", [1] * 100, {at: "down" for at in range(99)}).ask(["ask 1"] * 3) == [99] * 3, "who is down has no turn"
    none = Group("", [1] * 100, {at: "down" if at else "max_fails=1" for at in range(100)})
    yield none.ask(["fail 1", "ask 1"]) == [0, -1], "and when nobody is left, nobody is chosen"
    backups = Group("least_conn;", [1] * 100, {at: "backup" if at >= 70 else "max_conns=1" for at in range(100)})
    seen = backups.ask(["hold 1"] * 100)
    yield set(seen[:70]) == set(range(70)) and set(seen[70:]) == set(range(70, 100)), "backups when the primaries are full"


def slow_start():
    for method, size in (("", 2), ("least_conn;", 2), ("", 40), ("least_conn;", 40), ("least_time last_byte;", 40)):
        slow = {at: "max_fails=0" for at in range(1, size)}
        group = Group(method, [1] * size, {0: "slow_start=100s max_fails=1 fail_timeout=1s", **slow})
        # server 0 fails, is tried again by one session when its time is over, and comes back
        start = ["ask 1"] * 3 + ["fail 1"] * size + ["time 2"] + ["ask 1"] * size * 2
        count = 300 * size
        for past, low, high in ((10, 0.04, 0.16), (50, 0.30, 0.60), (200, 0.95, 1.05)):
            seen = group.ask([*start, f"time {past}", *["hold 1" if method else "ask 1"] * count])[-count:]
            share = seen.count(0) / (count - seen.count(0)) * (size - 1)
            yield low <= share <= high, (f"slow start, {past} of 100 s, {method or 'turns'} of {size}: {share:.3f} of what "
                                         "another has")
    for method in ("", "least_conn;"):
        every = Group(method, [1, 2] * 40, {at: "slow_start=100s max_fails=1 fail_timeout=1s" for at in range(80)})
        seen = every.ask(["fail 1"] * 80 + ["time 2"] + ["ask 1"] * 1600)
        yield seen[80:].count(-1) == 0 and set(seen[80:]) == set(range(80)), f"{method or 'turns'}: all start slowly"


def main():
    tally = Tally()
    for case in (turns, shares, consistent, moved, bounded, least, times, last_method, failures, slow_start):
        for good, what in case():
            tally.check(good, f"{case.__name__}: {what}")
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
