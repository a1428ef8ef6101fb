#!/usr/bin/python3
"""A configuration in which each word in turn is another one: what nginx takes, spcc takes, and what nginx refuses it refuses.

    tests/differential/words.py [--count N] [--seed S]

Tried are N of all the changes, picked at random; what docs/DIFFERENCES.md and reason except stands in EXCEPT. Last line:
"N passed, N failed"; a test is a configuration.
"""
import argparse
import os
import random
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT + "/tests/engine")
sys.dont_write_bytecode = True

from server import NGINX, STREAM  # noqa: E402
from tally import Tally  # noqa: E402
from wire import Ports  # noqa: E402

HEAD = f"load_module {STREAM};\npid {{folder}}/pid;\nerror_log {{folder}}/error.log info;\n"
CHANGED = r"""
worker_processes 1;
events { worker_connections 512; multi_accept off; accept_mutex off; }
stream {
    map_hash_bucket_size 64;
    map_hash_max_size 2048;
    log_format main escape=json '$remote_addr $status' ' $protocol';
    access_log {folder}/access.log main buffer=32k gzip=1 flush=5m if=$c;
    open_log_file_cache max=1000 inactive=20s min_uses=2 valid=1m;
    error_log {folder}/more.log warn;
    map $remote_addr $c { default 1; hostnames; example.com 2; *.example.com 3; ~^1(\d) 4; volatile; }
    variables_hash_bucket_size 64;
    variables_hash_max_size 1024;
    geo $g { default a; 10.0.0.0/8 b; delete 10.0.0.0/8; }
    geo $remote_addr $h { ranges; default a; 10.0.0.0-10.0.0.255 c; }
    split_clients "$remote_addr x" $s { 50% a; 10.5% b; * c; }
    limit_conn_zone $binary_remote_addr zone=addr:1m;
    limit_conn_log_level notice;
    limit_conn_dry_run off;
    preread_buffer_size 16k;
    preread_timeout 30s;
    proxy_protocol_timeout 30s;
    tcp_nodelay on;
    resolver_timeout 5s;
    upstream a {
        zone za 64k;
        hash $remote_addr consistent;
        server 127.0.0.1:1 weight=5 max_conns=3 max_fails=2 fail_timeout=10s;
        server 127.0.0.1:3 down;
        server unix:{folder}/x.sock;
    }
    upstream b { least_conn; server 127.0.0.1:1; server 127.0.0.1:2 backup; }
    upstream d { random two least_conn; server 127.0.0.1:1; }
    server {
        listen 127.0.0.1:{port0} backlog=511 rcvbuf=8k sndbuf=8k so_keepalive=30s::10 reuseport bind;
        limit_conn addr 1;
        allow 127.0.0.1;
        allow 10.0.0.0/8;
        deny all;
        set_real_ip_from 10.0.0.0/8;
        ssl_preread on;
        proxy_pass a;
        proxy_bind 127.0.0.1 transparent;
        proxy_buffer_size 16k;
        proxy_connect_timeout 60s;
        proxy_timeout 10m;
        proxy_download_rate 0;
        proxy_upload_rate 1m;
        proxy_half_close off;
        proxy_next_upstream on;
        proxy_next_upstream_timeout 0;
        proxy_next_upstream_tries 0;
        proxy_protocol off;
        proxy_requests 0;
        proxy_responses 1;
        proxy_socket_keepalive off;
        set $v "x$remote_addr";
    }
    server { listen {port1} udp; proxy_pass b; }
    server { listen {port2} proxy_protocol; return "$s $g\n"; }
    server {
        listen [::1]:{port3} ipv6only=on;
        proxy_pass 127.0.0.1:9;
        proxy_ssl on;
        proxy_ssl_protocols TLSv1.2 TLSv1.3;
        proxy_ssl_ciphers HIGH:!aNULL;
        proxy_ssl_verify off;
        proxy_ssl_verify_depth 1;
        proxy_ssl_name x;
        proxy_ssl_server_name on;
        proxy_ssl_session_reuse on;
        proxy_ssl_conf_command Options PrioritizeChaCha;
    }
}
"""
WORD = re.compile(r"'[^']*'|\"[^\"]*\"|[^\s;{}]+|[;{}]")
WORDS = """'' x 0 -1 1 99999999999 1m off on $remote_addr $nosuch 1.5 10s 0s 1k 1g unix: unix:/x unix:x unix:@x [::1]:5 127.0.0.1
    127.0.0.1:99999 ::1 * 1h30m 1M30S a=b = =x "x" 'x y' x\\ y ${remote_addr} $ ${x x#y # \\$x x"y "x"y x{ x} \\; ~x ~( ~*x [::1] [::1
    ::1:80 a:b:c localhost:1 1-2 127.0.0.1:1-3 +1 01 0x10 1d2h 1ms 1y 1M 1w2d 2h1d 1K 1G 1b 1kb \xe9 10.0.0.0/33 10.0.0.1/8 ::/0
    2001:db8::/129 0/0 10.0.0.0-9.0.0.0 100% 0% 0.001% \\x '\\'' "$remote_addr:$server_port" $remote_addr$1 $1 !x default none if=1
    weight=0 x= 2147483647 2147483648 65535 65536 1000m 30s:10s:5 :: 1s: / syslog:server=127.0.0.1 stderr memory:1m debug
    debug_stream"""

# Statements that only one of the two takes.
EXCEPT = [re.compile(pattern) for pattern in (
    # what we take: sizes of tables that are not built, paths that are not opened, names that are not asked for
    r"^(map|variables)_hash_(bucket|max)_size ", r"^(access|error)_log (?!\$)\S*/", r"^access_log .*buffer=", r"^zone \S+ 9{11}$",
    r"^set_real_ip_from ", r"^worker_connections (0?1|\d{10,})$", r"^open_log_file_cache .*(\b\w+=\S+).*\1",
    r"^n{200} ",
    # and what goes beyond nginx: upper case, keepalive with its times, captures in a log, an address in brackets
    r"^proxy_socket_keepalive ", r"CONSISTENT|TWO|LEAST_CONN|TRANSPARENT", r"^log_format .*\$1", r"^proxy_bind \[::1\]",
    r"^geo (\$1|\$\{remote_addr\}) ", r"^#",
    # what we refuse: what nothing can mean, or does harm
    r" \S*(\d{11}|2147483647|2147483648|655\d\d)\b", r"^worker_processes 0$", r"^(preread|proxy_buffer)\w*size (0|1000m)$",
    r"^\S+_timeout 0s?$", r"^(geo|set) .*[{:$]\S*[}$:{]", r"^geo \$g \$g$", r"^listen (127\.0\.0\.1|\*|\[::1\])( |$)", r"if=$",
    r"^(50%|10\.5%|\*)( [^;]*)?$", r"^open_log_file_cache .*off")]


def changes(text):
    """All of them: the text, and the statement that is another."""
    for match in WORD.finditer(text):
        word, (start, end) = match.group(), match.span()
        if word in ("events", ";", "{", "}"):
            continue
        key = word.split("=")[0] + "=" if "=" in word else None
        for other in [*WORDS.split(), "", f"{word} {word}", word.upper(), "n" * 200] + [key + value for value in ("", "-1", "x") if key]:
            changed = text[:start] + other + text[end:]
            first = max(text.rfind(mark, 0, start) for mark in ";{}\n") + 1
            last = min(at for at in (changed.find(mark, start + len(other)) for mark in ";{\n") if at >= 0)
            yield changed, changed[first:last].strip()


def verdict(command, path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    done = subprocess.run(command + [path], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode == 0 or "(13: Permission denied)" in done.stderr, done.stderr + done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    spcc = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"), "spcc")
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        whole, first = CHANGED.replace("{folder}", folder), Ports().take(4)
        for at in range(4):
            whole = whole.replace(f"{{port{at}}}", str(first + at))
        every = [one for one in changes(whole) if not any(kind.search(one[1]) for kind in EXCEPT)]
        head = HEAD.replace("{folder}", folder)
        for text, statement in random.Random(chosen.seed).sample(every, min(chosen.count, len(every))):
            theirs, why = verdict([NGINX, "-t", "-q", "-p", folder, "-c"], folder + "/nginx.conf", head + text)
            ours, because = verdict([spcc, "check"], folder + "/ours.conf", head + text)
            if theirs != ours:
                print(f"nginx {'takes' if theirs else 'refuses'}, spcc {'takes' if ours else 'refuses'}: {statement}\n{why}{because}")
            tally.check(theirs == ours, statement)
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
