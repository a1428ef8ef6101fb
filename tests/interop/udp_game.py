"""A game: a thousand players, each sends sixty datagrams a second and is sent as many by its server, one of four (game.c). With two
workers and a reload amid it none is lost, none comes to another player, and each player has one server and one session throughout."""
import json
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
PLAYERS, SERVERS, TICKS = 1000, 4, 300
STREAM = """    upstream servers {{
        {method}
{servers}    }}
    server {{
        listen 127.0.0.1:{front} udp rcvbuf=4m;
        proxy_pass servers;
        proxy_socket_rcvbuf 256k;
        proxy_timeout 60s;
    }}"""


def run(world):
    subprocess.run(["gcc", "-std=c17", "-O2", "-Wall", "-Wextra", "-Werror", "-o", world.path("game"), HERE + "/game.c"], check=True)
    front, back = world.port(), world.port(SERVERS)
    listed = "".join(f"        server 127.0.0.1:{back + i};\n" for i in range(SERVERS))
    server = world.proxy(STREAM.format(front=front, servers=listed, method=""), workers=2, connections=2048)
    game = subprocess.Popen([world.path("game"), *map(str, (front, back, SERVERS, PLAYERS, TICKS))], stdout=subprocess.PIPE, text=True)
    world.children.append(game)
    half = game.stdout.readline()
    server.reload(server.words(STREAM.format(front=front, servers=listed, method="least_conn;")), False)
    seen = json.loads(game.communicate(timeout=60)[0])
    world.check("game: all ticks were played, with a reload after half of them", half == "half\n" and seen["sent_up"] == PLAYERS * TICKS and
                seen["sent_down"] >= PLAYERS * (TICKS - 10), seen)
    world.check("game: none is lost", (seen["got_up"], seen["got_down"]) == (seen["sent_up"], seen["sent_down"]), seen)
    world.check("game: none is another's, or out of order", seen["crossed"] == seen["disordered"] == seen["refused"] == 0, seen)
    world.check("game: every player has one server and one session", (seen["moved"], seen["most_ports"], seen["silent"]) == (0, 1, 0), seen)
    counted = world.counted(server)
    world.check("game: so many sessions are counted", counted["accepted"] == counted["tries"] == counted["shutdown"] == PLAYERS, counted)
    world.check("game: so many bytes are counted", (counted["client_bytes"], counted["upstream_bytes"]) ==
                (100 * seen["got_up"], 100 * seen["got_down"]), (counted, seen))
    lost = {one: counted[one] for one in ("datagrams_overflow", "answers_overflow", "datagrams_lost") if counted[one]}
    world.check("game: nothing is counted as lost", not lost, lost)
