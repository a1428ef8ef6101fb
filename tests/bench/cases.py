"""What is run, how much of it, what is measured, and the bars of issue 4."""
import collections

Case = collections.namedtuple("Case", "kind origin full quick options", defaults=[{}])

CASES = {
    "short-client": Case("short", "echo", 10000, 2000, {"closes": "client"}),
    "short-server": Case("short", "close", 10000, 2000, {"closes": "server"}),
    "ping-1": Case("ping", "echo", 15000, 3000, {"at_once": 1}),
    "ping-64": Case("ping", "echo", 100000, 20000, {"at_once": 64}),
    "ping-512": Case("ping", "echo", 100000, 20000, {"at_once": 512}),
    "bulk-up-1": Case("bulk", "bulk", 2e9, 2e8, {"at_once": 1, "up": True}),
    "bulk-up-8": Case("bulk", "bulk", 2e9, 2e8, {"at_once": 8, "up": True}),
    "bulk-down-1": Case("bulk", "bulk", 2e9, 2e8, {"at_once": 1, "down": True}),
    "bulk-down-8": Case("bulk", "bulk", 2e9, 2e8, {"at_once": 8, "down": True}),
    "bulk-both-8": Case("bulk", "bulk", 2e9, 2e8, {"at_once": 8, "up": True, "down": True}),
    "idle": Case("idle", "echo", 10000, 1000),
    "start-1": Case("start", "echo", 10, 3, {"servers": 1}),
    "start-1000": Case("start", "echo", 5, 1, {"servers": 1000}),
    "reload": Case("reload", "echo", 20, 3),
}

# Of a measure: its unit, how it is printed, what it is.
MEASURES = {
    "cpu": ("us", "{:.2f}", "CPU of the proxy for each connection or round trip"),
    "syscalls": ("", "{:.2f}", "system calls of the proxy for each connection or round trip, counted under load"),
    "syscalls_busy": ("", "{:.2f}", "the same when strace slows the proxy so that it is the bottleneck"),
    "rate": ("/s", "{:.0f}", "connections or round trips a second (load and proxy on a CPU each)"),
    "p50": ("us", "{:.0f}", "median time of a connection or round trip"),
    "p99": ("us", "{:.0f}", "99th percentile of it"),
    "gb_cpu": ("s/GB", "{:.3f}", "CPU seconds of the proxy for each 10^9 bytes relayed"),
    "gb_rate": ("GB/s", "{:.2f}", "bytes relayed a second"),
    "private": ("B", "{:.0f}", "private memory a session: with the sessions minus without, by their number"),
    "pss": ("B", "{:.0f}", "proportional memory a session, the same way"),
    "whole": ("B", "{:.0f}", "all private memory of the proxy by the number of sessions, start-up included"),
    "accepted": ("ms", "{:.2f}", "from fork to the first connection accepted, be it by the kernel alone"),
    "served": ("ms", "{:.2f}", "from fork to the first message there and back"),
    "judge": ("ms", "{:.1f}", "judging the text (spcc -o, nginx -t, haproxy -c), a process of its own"),
    "judge_cpu": ("ms", "{:.1f}", "the CPU of that"),
    "verify": ("ms", "{:.1f}", "spcd -t: verifying the blob and its surroundings, a process of its own"),
    "reloads": ("", "{:.0f}", "reloads that took effect while the load ran"),
    "took": ("ms", "{:.1f}", "from the signal to the new server's first connection, median of the reloads"),
    "failed": ("", "{:.0f}", "connections and round trips that failed during them"),
    "worst": ("ms", "{:.1f}", "worst latency of any connection or round trip during them"),
    "reload_p999": ("ms", "{:.2f}", "99.9th percentile of the connections during them"),
}

# Issue 4: at most LIMIT times what AGAINST needs; "better" is the better of all peers, "number" the number itself.
Bar = collections.namedtuple("Bar", "cases measure against limit")
BARS = [
    Bar("short-*", "cpu", "better", 0.93),
    Bar("short-*", "syscalls", "number", 15),
    Bar("short-*", "syscalls_busy", "number", 15),
    Bar("ping-*", "cpu", "better", 1.0),
    Bar("ping-64", "syscalls", "number", 4.05),
    Bar("ping-64", "syscalls_busy", "number", 4.05),
    Bar("ping-*", "p99", "better", 1.0),
    Bar("bulk-*", "gb_cpu", "nginx", 0.42),
    Bar("bulk-*", "gb_cpu", "haproxy-splice", 0.6),
    Bar("bulk-*", "gb_cpu", "floor", 1.1),
    Bar("idle", "private", "number", 600),
    Bar("start-1", "accepted", "better", 0.5),
    Bar("start-1", "served", "better", 0.5),
    Bar("start-1000", "accepted", "better", 0.2),
    Bar("start-1000", "served", "better", 0.2),
    Bar("reload", "failed", "number", 0),
    Bar("reload", "worst", "better", 1.0),
]
