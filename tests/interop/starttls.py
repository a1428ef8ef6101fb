"""Programs whose protocols begin in clear and go on in TLS, routed by the name in the ClientHello: PostgreSQL, MariaDB, Exim and
Dovecot, each twice, behind one port."""
import glob
import os
import pwd
import shutil

from origins import Authority

NAMES = ("a", "b")  # of the servers, in .example


def front(world, protocol, ports, more=""):
    listens = world.port()
    routes = " ".join(f"{name}.example 127.0.0.1:{port};" for name, port in zip(NAMES, ports))
    world.proxy(f"map $ssl_preread_server_name $to {{ {routes} default 127.0.0.1:{ports[0]}; }}\n"
                f"server {{ listen 127.0.0.1:{listens}; ssl_preread on; ssl_preread_starttls {protocol}; proxy_pass $to; {more} }}")
    return str(listens)


def home_of(world, program, name, user):
    """A folder of the user's, with the server's certificate."""
    home = world.path(f"{program}-{name}")
    os.mkdir(home)
    for end in ("pem", "key"):
        shutil.copy(world.path(f"{name}.{end}"), f"{home}/server.{end}")
        os.chmod(f"{home}/server.{end}", 0o600)
        shutil.chown(f"{home}/server.{end}", user)
    shutil.chown(home, user)
    return home


def as_user(user):
    return ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")


# ---- PostgreSQL ----

def postgres_server(world, name):
    binaries = max(glob.glob("/usr/lib/postgresql/*/bin"))
    home, port = home_of(world, "postgres", name, "postgres"), world.port()
    status, text = world.run(*as_user("postgres"), f"{binaries}/initdb", "-D", home + "/data", "-A", "trust", "-U", "postgres")
    world.check(f"PostgreSQL: cluster {name}", status == 0, text)
    world.start(*as_user("postgres"), f"{binaries}/postgres", "-D", home + "/data", "-p", str(port), "-k", home, "-c", "fsync=off",
                "-c", "listen_addresses=127.0.0.1", "-c", "ssl=on", "-c", f"ssl_cert_file={home}/server.pem",
                "-c", f"ssl_key_file={home}/server.key", "-c", f"cluster_name={name}", ready=(port,))
    return port


def postgres(world):
    ports = [postgres_server(world, name) for name in NAMES]
    listens = front(world, "postgres", ports)

    def ask(host, words, mode):
        return world.run("psql", "-At", "-c", words, f"host={host} hostaddr=127.0.0.1 port={listens} user=postgres dbname=postgres "
                         f"sslmode={mode} sslrootcert={world.path('ca.pem')}")

    for name in NAMES:
        status, text = ask(f"{name}.example", "show cluster_name", "verify-full")
        world.check(f"PostgreSQL: psql reaches {name}", (status, text) == (0, name + "\n"), text)
    status, text = ask("b.example", "select length(repeat('x', 5000000)), ssl from pg_stat_ssl where pid = pg_backend_pid()",
                       "verify-full")
    world.check("PostgreSQL: in TLS", (status, text) == (0, "5000000|t\n"), text)
    status, text = ask("b.example", "show cluster_name", "disable")
    world.check("PostgreSQL: without TLS it goes where no name leads", (status, text) == (0, "a\n"), text)


# ---- MariaDB ----

def mariadb_server(world, name):
    home, port = home_of(world, "mariadb", name, "mysql"), world.port()
    status, text = world.run("mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={home}/data",
                             "--auth-root-authentication-method=normal", "--skip-test-db")
    world.check(f"MariaDB: server {name}", status == 0, text)
    world.start(*as_user("mysql"), "mariadbd", "--no-defaults", f"--datadir={home}/data", f"--socket={home}/socket",
                "--bind-address=127.0.0.1", f"--port={port}", f"--ssl-cert={home}/server.pem", f"--ssl-key={home}/server.key",
                f"--report-host={name}", "--plugin-load-add=auth_ed25519", "--skip-log-bin", ready=(port,))
    accounts = ("CREATE USER native@'%' IDENTIFIED BY 'secret'; CREATE USER none@'%';"
                "CREATE USER edwards@'%' IDENTIFIED VIA ed25519 USING PASSWORD('secret');")
    status, text = world.run("mariadb", "--no-defaults", "-u", "root", "-S", home + "/socket", "-e", accounts)
    world.check(f"MariaDB: accounts of {name}", status == 0, text)
    return port


ASK_MARIADB = """
import pymysql, sys
host, port, user, ca = sys.argv[1:]
with pymysql.connect(host=host, port=int(port), user=user, password="secret", ssl={"ca": ca}) as server:
    with server.cursor() as cursor:
        cursor.execute("select @@report_host, length(repeat('x', 5000000))")
        print(*cursor.fetchone())
"""


def mariadb(world):
    """The client of its own, which sends no name, and PyMySQL, which does."""
    ports = [mariadb_server(world, name) for name in NAMES]
    listens, ca = front(world, "mysql", ports), world.path("ca.pem")
    named = ("unshare", "--mount", "sh", "-c", 'mount --bind hosts /etc/hosts; exec "$@"', "-")

    def ask(host, user, password, *more):
        return world.run(*named, "mariadb", "--no-defaults", "-h", host, "-P", listens, "--protocol=tcp", "-u", user, f"-p{password}",
                         "-N", f"--ssl-ca={ca}", *more, "-e", "select @@report_host, length(repeat('x', 5000000))")

    for user in ("native", "edwards"):
        status, text = ask("a.example", user, "secret", "--ssl-verify-server-cert")
        world.check(f"MariaDB: {user}, without a name", (status, text) == (0, "a\t5000000\n"), text)
        for name in NAMES if user == "native" else ():
            status, text = world.run(*named, "/usr/bin/python3", "-c", ASK_MARIADB, f"{name}.example", listens, user, ca)
            world.check(f"MariaDB: {user} reaches {name}", (status, text) == (0, f"{name} 5000000\n"), text)
    status, text = ask("b.example", "native", "wrong")
    world.check("MariaDB: a wrong password is wrong", status != 0 and "Access denied" in text, text)
    status, text = ask("b.example", "native", "secret", "--skip-ssl")
    world.check("MariaDB: nothing goes without TLS", status != 0 and "insecure transport" in text, text)


# ---- mail ----

def smtp_server(world, name):
    home, port = home_of(world, "smtp", name, "Debian-exim"), world.port()
    config = world.write(f"exim-{name}.conf", f"""
primary_hostname = {name}.example
spool_directory = {home}
log_file_path = {home}/%slog
tls_advertise_hosts = *
tls_certificate = {home}/server.pem
tls_privatekey = {home}/server.key
acl_smtp_rcpt = accept
begin routers
all:
  driver = accept
  transport = keep
begin transports
keep:
  driver = appendfile
  file = {home}/mail
  user = Debian-exim
""")
    world.start("exim4", "-C", config, "-bdf", "-odi", "-oX", f"127.0.0.1.{port}", "-oP", f"{home}/pid", ready=(port,))
    return port, f"{home}/mail"


def imap_server(world, name):
    home, port = home_of(world, "imap", name, "root"), world.port()
    os.mkdir(home + "/run")
    os.mkdir(home + "/mail")
    shutil.chown(home + "/run", "dovecot")
    shutil.chown(home + "/mail", "nobody")
    nobody = pwd.getpwnam("nobody")
    world.write(f"passwd-{name}", "reader:{PLAIN}secret::::::\n")
    config = world.write(f"dovecot-{name}.conf", f"""
base_dir = {home}/run
state_dir = {home}/run
log_path = {home}/log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <{home}/server.pem
ssl_key = <{home}/server.key
login_greeting = {name} is ready
mail_location = maildir:{home}/mail
first_valid_uid = {nobody.pw_uid}
first_valid_gid = 0
passdb {{
  driver = passwd-file
  args = {world.path('passwd-' + name)}
}}
userdb {{
  driver = static
  args = uid={nobody.pw_uid} gid={nobody.pw_gid} home={home}/mail
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
""")
    world.start("dovecot", "-F", "-c", config, ready=(port,))
    return port


def curl(world, listens, scheme, host, *more):
    return world.run("curl", "-sS", "--cacert", world.path("ca.pem"), "--ssl-reqd", "--connect-to", f"{host}::127.0.0.1:{listens}",
                     "--max-time", "10", *more, f"{scheme}://{host}")


def subject(world, listens, protocol, host):
    """Of the certificate that is shown for that name."""
    _, text = world.run("openssl", "s_client", "-connect", f"127.0.0.1:{listens}", "-starttls", protocol, "-servername", host,
                        "-CAfile", world.path("ca.pem"), text="")
    return text[text.find("subject="):].split("\n")[0]


def smtp(world):
    servers = [smtp_server(world, name) for name in NAMES]
    listens = front(world, "smtp", [port for port, _ in servers])
    for name, (_, mail) in zip(NAMES, servers):
        text = subject(world, listens, "smtp", f"{name}.example")
        world.check(f"SMTP: s_client sees the certificate of {name}", text.endswith(f"{name}.example"), text)
        letter = world.write("letter", f"From: x@y.example\r\nTo: root@{name}.example\r\nSubject: to {name}\r\n\r\nHello\r\n")
        status, text = curl(world, listens, "smtp", f"{name}.example", "--mail-from", "x@y.example", "--mail-rcpt",
                            f"root@{name}.example", "-T", letter)
        world.check(f"SMTP: {name} takes a letter from curl", status == 0, text)
        world.check(f"SMTP: it is {name}'s", world.wait(lambda path=mail, to=name: f"Subject: to {to}" in world.read(path)))


def imap(world):
    ports = [imap_server(world, name) for name in NAMES]
    listens = front(world, "imap", ports)
    for name in NAMES:
        text = subject(world, listens, "imap", f"{name}.example")
        world.check(f"IMAP: s_client sees the certificate of {name}", text.endswith(f"{name}.example"), text)
        status, text = curl(world, listens, "imap", f"{name}.example", "-u", "reader:secret", "-X", "NAMESPACE")
        world.check(f"IMAP: {name} answers curl", status == 0 and "NAMESPACE" in text, text)


def run(world):
    ca = Authority(world.folder)
    for name in NAMES:
        ca.issue(name, f"{name}.example", f"subjectAltName=DNS:{name}.example\nextendedKeyUsage=serverAuth\n", "prime256v1")
    with open("/etc/hosts", encoding="ascii") as file:
        hosts = file.read()
    world.write("hosts", hosts + "127.0.0.1 a.example b.example\n")
    postgres(world)
    smtp(world)
    imap(world)
    mariadb(world)
