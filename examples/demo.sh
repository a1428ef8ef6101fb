#!/bin/bash
# make demo: compile examples/quickstart.conf, serve it on loopback, send traffic through it, look inside.
# Needs nothing but what was built: the backends are servers of the same configuration that return who they are.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
server=
cleanup() {
    [ -z "$server" ] || kill -QUIT "$server" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

say "\$ spcc -o quickstart.spcb examples/quickstart.conf"
build/spcc -o "$work/quickstart.spcb" examples/quickstart.conf
ls -l "$work/quickstart.spcb" | awk '{ print $5 " bytes" }'

say "\$ spcc dump quickstart.spcb      (its upstream and peers)"
build/spcc dump "$work/quickstart.spcb" | awk '/^upstream|^peer/ { show = 1 } /^$/ { show = 0 } show' | head -n 30

say "\$ spcd quickstart.spcb"
build/spcd -p "$work" "$work/quickstart.spcb" &
server=$!
for _ in $(seq 50); do
    (exec 3<>/dev/tcp/127.0.0.1/12345) 2>/dev/null && break
    sleep 0.1
done

ask() { exec 3<>"/dev/tcp/127.0.0.1/$1" && cat <&3; exec 3<&-; }
say "a connection to each backend, and one through the proxy"
for port in 12301 12302 12303 12345; do
    printf '127.0.0.1:%s answers: %s\n' $port "$(ask $port)"
done

say "700 connections through the proxy: weights 5, 1 and 1"
for _ in $(seq 700); do ask 12345; done | sort | uniq -c

say "300 connections during 10 reloads (HUP)"
for _ in $(seq 10); do
    kill -HUP $server
    sleep 0.1
done &
reloads=$!
for _ in $(seq 300); do ask 12345 || echo failed; done | sed 's/.*asked.*/answered/' | sort | uniq -c
wait $reloads

say "the end (QUIT)"
kill -QUIT $server
wait $server && echo "spcd has ended, with status 0"
server=
