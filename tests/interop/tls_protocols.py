"""Plain clients of real protocols, whose servers speak TLS: Redis, MQTT, and PostgreSQL behind stunnel.

PostgreSQL 15 by itself begins TLS only when it was asked in its own protocol (SSLRequest); no proxy that begins TLS at once can serve
it, nginx as little as spcd, until the server knows sslnegotiation=direct (17). What both do is shown here, and so is what works.
"""
import glob
import os
import shutil
import subprocess

from origins import Authority

TLS = ("proxy_ssl on; proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_name x.example; "
       "proxy_ssl_certificate client.pem; proxy_ssl_certificate_key client.key;")


def front(world, port, kind="spcd"):
    listens = world.port()
    world.proxy(f"server {{ listen 127.0.0.1:{listens}; proxy_pass 127.0.0.1:{port}; {TLS} }}", kind)
    return listens


def redis(world):
    port = world.port()
    world.start("redis-server", "--port", "0", "--tls-port", str(port), "--tls-cert-file", "server.pem", "--tls-key-file", "server.key",
                "--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "yes", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                ready=(port,))
    listens = str(front(world, port))
    status, text = world.run("redis-cli", "-p", listens, "SET", "greeting", "hello")
    world.check("Redis: a value is set", status == 0 and text == "OK\n", text)
    status, text = world.run("redis-cli", "-p", listens, "GET", "greeting")
    world.check("Redis: and is there", status == 0 and text == "hello\n", text)
    large = "x" * 5_000_000
    status, text = world.run("redis-cli", "-p", listens, "-x", "SET", "large", text=large)
    world.check("Redis: 5 MB there", status == 0 and text == "OK\n", text[-500:])
    status, text = world.run("redis-cli", "-p", listens, "GET", "large")
    world.check("Redis: and back", status == 0 and text == large + "\n", f"{len(text)} bytes")
    status, text = world.run("redis-benchmark", "-p", listens, "-n", "20000", "-P", "16", "-c", "20", "-q", "-t", "set,get")
    world.check("Redis: 20 clients, 16 commands at a time", status == 0 and "GET:" in text and "rror" not in text, text)


def mqtt(world):
    port = world.port()
    world.write("mosquitto.conf", f"listener {port} 127.0.0.1\nallow_anonymous true\ncafile {world.path('ca.pem')}\n"
                f"certfile {world.path('server.pem')}\nkeyfile {world.path('server.key')}\nrequire_certificate true\n")
    world.start("mosquitto", "-c", world.path("mosquitto.conf"), ready=(port,))
    listens = str(front(world, port))
    with subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", "-p", listens, "-t", "a/b", "-C", "3", "-W", "10", "-q", "1", "-d"], stdout=subprocess.PIPE,
                          text=True) as listener:
        heard = ""
        while line := listener.stdout.readline():  # until it is subscribed
            heard += line
            if "SUBACK" in line:
                break
        for number in range(3):
            status, text = world.run("mosquitto_pub", "-p", listens, "-t", "a/b", "-q", "1", "-m", f"message {number}")
            world.check(f"MQTT: message {number} is sent", status == 0, text)
        heard += listener.stdout.read()
        world.check("MQTT: all are heard, in order", listener.wait() == 0 and [
            line for line in heard.splitlines() if line.startswith("message")] == ["message 0", "message 1", "message 2"], heard)


def postgres(world):
    binaries = max(glob.glob("/usr/lib/postgresql/*/bin"))
    port, secure = world.port(), world.port()
    home = world.path("postgres")
    os.mkdir(home)
    shutil.chown(home, "postgres")
    for name in ("server.pem", "server.key"):
        shutil.copy(world.path(name), home)
        shutil.chown(f"{home}/{name}", "postgres")
        os.chmod(f"{home}/{name}", 0o600)
    as_user = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
    status, text = world.run(*as_user, f"{binaries}/initdb", "-D", home + "/data", "-A", "trust", "-U", "postgres")
    world.check("PostgreSQL: a cluster", status == 0, text)
    world.start(*as_user, f"{binaries}/postgres", "-D", home + "/data", "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", home,
                "-c", "ssl=on", "-c", f"ssl_cert_file={home}/server.pem", "-c", f"ssl_key_file={home}/server.key", "-c", "fsync=off",
                ready=(port,))
    world.write("stunnel.conf", f"foreground = yes\npid =\ncert = server.pem\nkey = server.key\nCAfile = ca.pem\nverifyChain = yes\n"
                f"[s]\naccept = 127.0.0.1:{secure}\nconnect = 127.0.0.1:{port}\n")
    world.start("stunnel4", world.path("stunnel.conf"), ready=(secure,))

    def ask(listens, words):
        return world.run("psql", "-At", "-c", words, f"host=127.0.0.1 port={listens} user=postgres dbname=postgres sslmode=disable")

    listens = front(world, secure)
    status, text = ask(listens, "select 6 * 7")
    world.check("PostgreSQL behind stunnel: a question", status == 0 and text == "42\n", text)
    status, text = ask(listens, "select repeat('x', 5000000)")
    world.check("PostgreSQL behind stunnel: a long answer", status == 0 and len(text) == 5000001, f"{len(text)} bytes")
    version = int(os.path.basename(os.path.dirname(binaries)))
    for kind in ("spcd", "nginx"):
        status, text = ask(front(world, port, kind), "select 1")
        world.check(f"PostgreSQL {version} by itself, through {kind}: {'an answer' if version >= 17 else 'none'}",
                    (status == 0) == (version >= 17), text)


def run(world):
    ca = Authority(world.folder)
    ca.issue("server", "x.example", "subjectAltName=DNS:x.example\nextendedKeyUsage=serverAuth\n")
    ca.issue("client", "client", "extendedKeyUsage=clientAuth\n")
    for name in ("server.key", "client.key"):
        os.chmod(world.path(name), 0o644)
    redis(world)
    mqtt(world)
    postgres(world)
