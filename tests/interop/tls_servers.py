"""Plain clients, and real servers that speak TLS: each over TLS 1.2 and 1.3, with a certificate of the client's and without, verified."""
import getpass
import glob

from origins import Authority, run as openssl
from run import exchange

VERSIONS = ("TLSv1.2", "TLSv1.3")
REQUEST = b"GET / HTTP/1.0\r\nHost: x.example\r\n\r\n"
VERIFY = "proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_name x.example; proxy_ssl_server_name on;"
SHOWN = "proxy_ssl_certificate client.pem; proxy_ssl_certificate_key client.key;"


# Each starts a server on a port for anybody and one for those with a certificate of the authority's, and returns a function of
# (version, shown): what the answer must contain.

def nginx(world, free, strict):
    server = ("server {{ listen 127.0.0.1:{port} ssl; ssl_certificate server.pem; ssl_certificate_key server.key; "
              "ssl_protocols TLSv1.2 TLSv1.3; {clients} location / {{ default_type text/plain; "
              'return 200 "$ssl_protocol $ssl_client_verify $ssl_server_name\\n"; }} }}')
    strictly = "ssl_client_certificate ca.pem; ssl_verify_client on;"
    world.write("nginx.conf", f"daemon off; user {getpass.getuser()}; pid nginx.pid; error_log nginx.log; events {{}} "
                "http { access_log off; " + server.format(port=free, clients="") +
                server.format(port=strict, clients=strictly) + "}")
    world.start("nginx", "-p", world.folder, "-e", "nginx.log", "-c", world.path("nginx.conf"), ready=(free, strict))
    return lambda version, shown: [f"{version} {'SUCCESS' if shown else 'NONE'} x.example"]


def haproxy(world, free, strict):
    with open(world.path("both.pem"), "w", encoding="ascii") as file:
        file.write(world.read("server.pem") + world.read("server.key"))
    answer = ('http-request return status 200 content-type text/plain '
              'lf-string "%[ssl_fc_protocol] %[ssl_c_used] %[ssl_fc_sni]"')
    world.write("haproxy.cfg", "defaults\n  mode http\n  timeout client 9s\n  timeout connect 9s\n  timeout server 9s\n" + "".join(
        f"frontend f{port}\n  bind 127.0.0.1:{port} ssl crt both.pem {more}\n  {answer}\n"
        for port, more in ((free, ""), (strict, "ca-file ca.pem verify required"))))
    world.start("haproxy", "-db", "-f", world.path("haproxy.cfg"), ready=(free, strict))
    return lambda version, shown: [f"{version} {int(shown)} x.example"]


def stunnel(world, free, strict):
    behind = world.port()
    world.write("behind.conf", f"daemon off; user {getpass.getuser()}; pid behind.pid; error_log behind.log; events {{}} http {{ "
                f'access_log off; server {{ listen 127.0.0.1:{behind}; location / {{ return 200 "behind\\n"; }} }} }}')
    world.start("nginx", "-p", world.folder, "-e", "behind.log", "-c", world.path("behind.conf"), ready=(behind,))
    world.write("stunnel.conf", "foreground = yes\npid =\nsslVersionMin = TLSv1.2\ncert = server.pem\nkey = server.key\n" + "".join(
        f"[s{port}]\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{behind}\n{more}\n"
        for port, more in ((free, ""), (strict, "CAfile = ca.pem\nverifyChain = yes\nrequireCert = yes"))))
    world.start("stunnel4", world.path("stunnel.conf"), ready=(free, strict))
    return lambda version, shown: ["behind"]


def s_server(world, free, strict):
    for port, more in ((free, ()), (strict, ("-Verify", "3", "-verify_return_error", "-CAfile", "ca.pem"))):
        world.start("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", "server.pem", "-key", "server.key", "-www",
                    *more, ready=(port,))
    return lambda version, shown: ["Protocol  : " + version, "BEGIN CERTIFICATE" if shown else "no client certificate"]


def gnutls(world, free, strict):
    for port, more in ((free, ("--disable-client-cert",)), (strict, ("--x509cafile", "ca.pem", "--require-client-cert",
                                                                     "--verify-client-cert"))):
        world.start("gnutls-serv", "--quiet", "--http", "--port", str(port), "--x509certfile", "server.pem", "--x509keyfile",
                    "server.key", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.3", *more, ready=(port,))
    return lambda version, shown: ["200 OK", "This is <a"]


def apache(world, free, strict):
    modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
                        for name in ("mpm_event", "authz_core", "ssl", "headers", "socache_shmcb"))
    world.write("index.html", "apache\n")
    sites = "".join(
        f"Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\nServerName x.example\nSSLEngine on\n"
        f"SSLCertificateFile {world.path('server.pem')}\nSSLCertificateKeyFile {world.path('server.key')}\n{more}"
        'Header always set X-Seen "%{SSL_PROTOCOL}s %{SSL_CLIENT_VERIFY}s %{SSL_TLS_SNI}s"\n</VirtualHost>\n'
        for port, more in ((free, ""), (strict, f"SSLCACertificateFile {world.path('ca.pem')}\nSSLVerifyClient require\n")))
    world.write("apache.conf", f"{modules}\nServerRoot {world.folder}\nServerName x.example\nPidFile apache.pid\nErrorLog apache.log\n"
                f"DocumentRoot {world.folder}\nUser www-data\nGroup www-data\nDefaultRuntimeDir {world.folder}\n"
                f"SSLProtocol -all +TLSv1.2 +TLSv1.3\n<Directory {world.folder}>\nRequire all granted\n</Directory>\n{sites}")
    world.start("apache2", "-DFOREGROUND", "-f", world.path("apache.conf"), ready=(free, strict))
    return lambda version, shown: [f"X-Seen: {version} {'SUCCESS' if shown else 'NONE'} x.example"]


SERVERS = {"nginx": nginx, "HAProxy": haproxy, "stunnel": stunnel, "s_server": s_server, "GnuTLS": gnutls, "Apache": apache}


def make_files(world):
    ca = Authority(world.folder)
    Authority(world.folder, "other")
    ca.issue("server", "x.example", "subjectAltName=DNS:x.example\nextendedKeyUsage=serverAuth\n")
    ca.issue("client", "client", "extendedKeyUsage=clientAuth\n")
    for key in glob.glob(world.folder + "/*.key"):
        openssl("chmod", "644", key, cwd=world.folder)


def run(world):
    make_files(world)
    parts, plays = [], []

    def front(name, port, directives, wanted):
        listens = world.port()
        parts.append(f"server {{ listen 127.0.0.1:{listens}; proxy_pass 127.0.0.1:{port}; proxy_ssl on; {directives} }}")
        plays.append((name, listens, wanted))

    for name, start in SERVERS.items():
        free, strict = world.port(), world.port()
        answer = start(world, free, strict)
        for version in VERSIONS:
            only = f"proxy_ssl_protocols {version}; "
            front(f"{name}, {version}", free, only + VERIFY, answer(version, False))
            front(f"{name}, {version}, with a certificate", strict, only + VERIFY + SHOWN, answer(version, True))
            front(f"{name}, {version}, without the certificate that it wants", strict, only + VERIFY, None)
        front(f"{name}, of another authority", free, VERIFY.replace("ca.pem", "other.pem"), None)
        front(f"{name}, of another name", free, VERIFY.replace("x.example", "y.example"), None)
    world.proxy("\n".join(parts))
    for name, port, wanted in plays:
        for turn in ("", ", again"):  # the second time it is resumed
            got = exchange(port, REQUEST)
            good = all(part in got for part in wanted) if wanted else "200 " not in got
            world.check(name + turn, good, f"wanted {wanted}, got {got[:3000]}")
