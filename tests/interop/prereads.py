"""Clients and servers of Debian's that are told apart by what the client says first: brokers by client identifier and by user name
(mosquitto's clients, MQTT 3.1, 3.1.1 and 5.0), HTTP servers by Host (curl), and both beside TLS on one port."""
import os
import subprocess

from origins import Authority

VERSIONS = ("mqttv31", "mqttv311", "mqttv5")

STREAM = """
    log_format line "$server_port <$ssl_preread_server_name> <$mqtt_preread_clientid> <$mqtt_preread_username> <$http_preread_host>";
    access_log {log} line;
    map $mqtt_preread_clientid $by_id {{ ~^eu- 127.0.0.1:{eu}; ~^us- 127.0.0.1:{us}; default 127.0.0.1:1; }}
    map $mqtt_preread_username $by_name {{ ann 127.0.0.1:{eu}; bob 127.0.0.1:{us}; default 127.0.0.1:1; }}
    map $http_preread_host $by_host {{ hostnames; .a.example 127.0.0.1:{a}; [::1] 127.0.0.1:{b}; b.example 127.0.0.1:{b}; default $by_sni; }}
    map $ssl_preread_server_name $by_sni {{ x.example 127.0.0.1:{tls}; default $by_id; }}
    server {{ listen 127.0.0.1:{identifier}; mqtt_preread on; proxy_pass $by_id; }}
    server {{ listen 127.0.0.1:{user}; mqtt_preread on; proxy_pass $by_name; }}
    server {{ listen 127.0.0.1:{any}; mqtt_preread on; http_preread on; ssl_preread on; proxy_pass $by_host; }}
    server {{ listen 127.0.0.1:{named}; server_name a.example; http_preread on; proxy_pass 127.0.0.1:{a}; }}
    server {{ listen 127.0.0.1:{named} default_server; http_preread on; proxy_pass 127.0.0.1:{b}; }}
"""
PORTS = ("eu", "us", "a", "b", "tls", "identifier", "user", "any", "named")


def broker(world, name, port):
    """Each has a message of its own, kept for whoever subscribes; so who has it back has spoken with this one."""
    world.write(name + ".conf", f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    world.start("mosquitto", "-c", world.path(name + ".conf"), ready=(port,))
    status, text = world.run("mosquitto_pub", "-p", str(port), "-t", "who", "-r", "-m", f"broker {name}")
    world.check(f"MQTT: broker {name}", status == 0, text)


def subscribe(world, port, *options):
    status, text = world.run("mosquitto_sub", "-p", str(port), "-t", "who", "-C", "1", "-W", "5", *options)
    return text if status == 0 else f"status {status}: {text}"


def mqtt(world, at):
    for version in VERSIONS:
        for name, user in (("eu", "ann"), ("us", "bob")):
            common = ("-V", version, "-u", user, "-P", "secret", "--will-topic", "gone", "--will-payload", "x" * 3000)
            text = subscribe(world, at["identifier"], "-i", f"{name}-{version}", *common)
            world.check(f"{version}: by the client identifier to {name}", text == f"broker {name}\n", text)
            text = subscribe(world, at["user"], "-i", f"any-{version}", *common)
            world.check(f"{version}: by the user name to {name}", text == f"broker {name}\n", text)
            text = subscribe(world, at["any"], "-V", version, "-i", f"{name}-{version}")
            world.check(f"{version}: beside HTTP and TLS, to {name}", text == f"broker {name}\n", text)
    text = subscribe(world, at["identifier"], "-V", "mqttv5", "-i", "eu-properties", "-D", "connect", "user-property", "one", "two",
                     "-x", "60", "-c", "-D", "will", "will-delay-interval", "5", "--will-topic", "gone", "--will-payload", "x")
    world.check("mqttv5: with properties of the client and of its will", text == "broker eu\n", text)
    text = subscribe(world, at["identifier"], "-V", "mqttv311", "-i", "nobody's")
    world.check("an identifier that no map has reaches nobody", text.startswith("status"), text)
    status, text = world.run("mosquitto_pub", "-p", str(at["identifier"]), "-i", "us-large", "-t", "large", "-r", "-q", "1", "-s",
                             text="y" * 1_000_000)
    world.check("a message of 1 MB behind the CONNECT", status == 0, text)
    status, text = world.run("mosquitto_sub", "-p", str(at["us"]), "-t", "large", "-C", "1", "-W", "5")
    world.check("and it is there", status == 0 and text == "y" * 1_000_000 + "\n", f"{len(text)} bytes")


def http(world, at):
    for name in ("a", "b"):
        absolute = name + "/http:/b.example:8080"  # where http.server looks for an absolute target
        os.makedirs(world.path(absolute))
        world.write(name + "/who", f"server {name}\n")
        world.write(absolute + "/who", f"server {name}, as a proxy\n")
        world.start("python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", world.path(name), str(at[name]), ready=(at[name],))

    def curl(port, *options, path="/who"):
        status, text = world.run("curl", "-sS", "--max-time", "10", *options, f"http://127.0.0.1:{port}{path}")
        return text if status == 0 else f"status {status}: {text}"

    for host, name in (("a.example", "a"), ("WWW.A.Example:8080", "a"), ("b.example.", "b"), ("[::1]:80", "b")):
        text = curl(at["any"], "-H", f"Host: {host}")
        world.check(f"curl: Host {host} to {name}", text == f"server {name}\n", text)
    text = curl(at["any"], "-x", f"http://127.0.0.1:{at['any']}", "-H", "Host: a.example", path="/who")
    world.check("curl: as to a proxy; the target is an address that no map has, whatever Host says", text.startswith("status 52"), text)
    status, text = world.run("curl", "-sS", "-x", f"http://127.0.0.1:{at['any']}", "-H", "Host: a.example", "http://b.example:8080/who")
    world.check("curl: an absolute target to b, whatever Host says", (status, text) == (0, "server b, as a proxy\n"), text)
    for host, name in (("A.example:81", "a"), ("c.example", "b")):
        text = curl(at["named"], "-H", f"Host: {host}")
        world.check(f"curl: server_name chosen by Host {host}", text == f"server {name}\n", text)
    body = "z" * 3_000_000
    world.write("a/large", body)
    text = curl(at["any"], "-H", "Host: a.example", "-H", "Cookie: " + "c" * 30000, path="/large")
    world.check("curl: 3 MB back, though the head is longer than what is read of it", text == body, f"{len(text)} bytes")


def tls(world, at):
    ca = Authority(world.folder)
    ca.issue("server", "x.example", "subjectAltName=DNS:x.example\nextendedKeyUsage=serverAuth\n")
    world.start("openssl", "s_server", "-accept", f"127.0.0.1:{at['tls']}", "-cert", "server.pem", "-key", "server.key", "-www",
                ready=(at["tls"],), stdin=subprocess.PIPE)
    status, text = world.run("curl", "-sS", "--cacert", "ca.pem", "--connect-to", f"x.example:443:127.0.0.1:{at['any']}",
                             "https://x.example/")
    world.check("curl: https beside them, by its name", status == 0 and "s_server" in text, text)


def run(world):
    at = {name: world.port() for name in PORTS}
    log = world.path("access.log")
    world.write("access.log", "", 0o666)
    world.proxy(STREAM.format(log=log, **at))
    broker(world, "eu", at["eu"])
    broker(world, "us", at["us"])
    mqtt(world, at)
    http(world, at)
    tls(world, at)
    for line in (f"{at['user']} <-> <any-mqttv5> <bob> <->", f"{at['any']} <-> <-> <-> <www.a.example>", f"{at['any']} <x.example> <-> <-> <->"):
        world.check(f"the log says {line}", world.wait(lambda: line in world.read("access.log").splitlines(), 5), world.read("access.log"))
