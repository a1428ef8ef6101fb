"""Good, hostile and broken chains, and what is to be said of each.

case(ANSWER, NAME, CHAIN...): what an upstream server shows, the first its own. ANSWER: "200" for yes; else the number
of OpenSSL's verify error that nginx logs, "name" for a certificate of somebody else, "shake" for a handshake that
fails. ours=(ANSWER, WHY): what spcd says instead, and the line of docs/DIFFERENCES.md that says why.
"""
from der import (EARLIER, LATE, Certificate, Revoked, also, basic, constraints, extension, integer, name, oid, purpose,
                 sequence, tlv, usage)

CASES = []

# Why spcd answers otherwise; each begins a line of docs/DIFFERENCES.md.
ip = "An address as `proxy_ssl_name`"
signing = "Numbers of what is wrong"
spoilt = "A certificate that has not signed itself"
gated = "Server gated cryptography"
used = "A key that must not be used for signatures"
strict = "Certificates that break the rules of their form"
constrained = "Constraints on names"
keys = "Keys that BoringSSL does not know"
dates = "The 30th of February"


def case(answer, title, *chain, **more):
    CASES.append({"answer": answer, "title": title, "chain": chain, "trust": [ROOT], "crl": [], "ask": "x.example",
                  "depth": 1, "key": chain[0].key, **more})


AUTHORITY = (basic(True), usage("certificates", "lists"))
SERVER = (also("DNS:x.example"), purpose("server"), usage("signature"))


def authority(title, issuer=None, extensions=AUTHORITY, key=None, **odd):
    return Certificate([f"CN={title}"], key or f"ec-{title}", issuer, extensions, **odd)


def leaf(issuer, extensions=SERVER, subject=("CN=leaf",), key="ec-leaf", **odd):
    return Certificate(subject, key, issuer, extensions, **odd)


def named(*names, subject=("CN=leaf",), **more):
    return leaf(ROOT, (also(*names),) if names else (), subject, **more)


ROOT = authority("root")
OTHER = authority("other")
MID = authority("mid", ROOT)
LOW = authority("low", MID)
GOOD, UNDER, DEEP = leaf(ROOT), leaf(MID), leaf(LOW)
UNKNOWN_CRITICAL = extension("1.2.3.4.5", b"\x05\x00", True)


def times():
    old, young = {"ends": EARLIER}, {"begins": LATE}
    case("200", "good", GOOD)
    case("10", "leaf expired", leaf(ROOT, **old))
    case("9", "leaf not yet valid", leaf(ROOT, **young))
    case("10", "intermediate expired", UNDER, authority("mid", ROOT, **old))
    case("9", "intermediate not yet valid", UNDER, authority("mid", ROOT, **young))
    case("10", "root expired", GOOD, trust=[authority("root", **old)])
    case("9", "root not yet valid", GOOD, trust=[authority("root", **young)])
    case("10", "it ends before it begins", leaf(ROOT, begins=LATE, ends=EARLIER))
    case("200", "it ends in 9999", leaf(ROOT, ends="99991231235959Z"))
    case("13", "a time that is none", leaf(ROOT, begins="20201301000000Z"))
    case("14", "an end that is none", leaf(ROOT, ends="20490230000000Z"), ours=("200", dates))
    case("200", "an expired one and a good one of the same name", UNDER, MID, authority("mid", ROOT, **old))
    case("200", "an expired root before a good one", GOOD, trust=[authority("root", **old), ROOT])
    case("200", "an expired root behind a good one", GOOD, trust=[ROOT, authority("root", **old)])
    case("200", "an expired one before a good one", UNDER, authority("mid", ROOT, **old), MID)


def names():
    case("name", "another name", named("DNS:y.example"))
    case("200", "the second name", named("DNS:y.example", "DNS:x.example"))
    case("200", "name in CN only", named(subject=["CN=x.example"]))
    case("name", "CN is ignored beside a name", named("DNS:y.example", subject=["CN=x.example"]))
    case("200", "CN counts beside an address", named("IP:7f000001", subject=["CN=x.example"]))
    case("200", "CN counts beside a mail address", named("MAIL:a@x.example", subject=["CN=x.example"]))
    case("200", "CN is the last of two", named(subject=["CN=y.example", "CN=x.example"]))
    case("200", "CN is the first of two", named(subject=["CN=x.example", "CN=y.example"]))
    case("200", "CN that is no name", named(subject=["CN=x example"]), ask="x example")
    case("name", "wildcard below a top-level name", named("DNS:*.example"))
    case("200", "wildcard", named("DNS:*.x.example"), ask="a.x.example")
    case("200", "wildcard in CN", named(subject=["CN=*.x.example"]), ask="a.x.example")
    case("name", "wildcard for two labels", named("DNS:*.x.example"), ask="b.a.x.example")
    case("name", "wildcard for no label", named("DNS:*.x.example"))
    case("200", "part of a label, in front", named("DNS:w*.x.example"), ask="www.x.example")
    case("200", "part of a label, behind", named("DNS:*w.x.example"), ask="www.x.example")
    case("name", "part of a label, in the middle", named("DNS:w*z.x.example"), ask="wyz.x.example")
    case("name", "two wildcards", named("DNS:*.*.example"), ask="a.x.example")
    case("name", "two in a label", named("DNS:**.x.example"), ask="a.x.example")
    case("name", "wildcard in the second label", named("DNS:a.*.example"), ask="a.x.example")
    case("name", "wildcard at the end", named("DNS:x.*"))
    case("name", "bare wildcard", named("DNS:*"))
    case("name", "bare wildcard, one label", named("DNS:*"), ask="localhost")
    case("name", "wildcard of one label", named("DNS:*.example"), ask="example")
    case("200", "leading dot asked, wildcard", named("DNS:*.example"), ask=".example")
    case("name", "leading dot asked, another name", named("DNS:xexample"), ask=".example")
    case("name", "wildcard and a dot", named("DNS:*."), ask="example.")
    case("200", "one label", named("DNS:localhost"), ask="localhost")
    case("200", "A-label", named("DNS:xn--bcher-kva.example"), ask="xn--bcher-kva.example")
    case("200", "wildcard for an A-label", named("DNS:*.x.example"), ask="xn--bcher-kva.x.example")
    case("name", "wildcard in an A-label", named("DNS:xn--b*.x.example"), ask="xn--bcher-kva.x.example")
    case("name", "a part of an A-label", named("DNS:xn*.x.example"), ask="xn--bcher-kva.x.example")
    case("name", "U-label", named("DNS:bücher.example"), ask="xn--bcher-kva.example")
    case("200", "U-label asked as it is", named("DNS:bücher.example"), ask="bücher.example")
    case("name", "trailing dot asked", GOOD, ask="x.example.")
    case("name", "trailing dot shown", named("DNS:x.example."))
    case("200", "trailing dot in both", named("DNS:x.example."), ask="x.example.")
    case("name", "leading dot shown", named("DNS:.example"))
    case("200", "leading dot asked", GOOD, ask=".example")
    case("name", "NUL behind the name", named("DNS:x.example\0.evil.example"))
    case("name", "NUL in front", named("DNS:\0x.example"))
    case("name", "NUL at the end", named("DNS:x.example\0"))
    case("name", "NUL in CN", named(subject=["CN=x.example\0.evil.example"]))
    case("200", "upper case shown", named("DNS:X.EXAMPLE"))
    case("200", "upper case asked", GOOD, ask="X.EXAMPLE")
    case("200", "upper case, wildcard", named("DNS:*.X.eXample"), ask="a.x.ExAmple")
    case("name", "space around", named("DNS: x.example "))
    case("200", "underscore", named("DNS:a_b.example"), ask="a_b.example")
    case("200", "underscore in CN", named(subject=["CN=a_b.example"]), ask="a_b.example")
    case("name", "URI is no name", named("URI:x.example"))
    case("name", "mail is no name", named("MAIL:x.example"))
    case("name", "no name at all", named())
    case("name", "empty subject, another name", named("DNS:y.example", subject=[]))
    case("200", "empty subject", named("DNS:x.example", subject=[]))
    case("name", "a list of no names", leaf(ROOT, (also(), purpose("server"))))
    case("200", "a list of no names, CN", leaf(ROOT, (also(), purpose("server")), subject=["CN=x.example"]))
    case("200", "a thousand names", named(*(f"DNS:n{at}.example" for at in range(1000)), "DNS:x.example"))
    case("name", "an empty name in the certificate", named("DNS:"))


def addresses():
    v4, v6 = named("IP:7f000001"), named("IP:" + "0" * 31 + "1")
    case("name", "address", v4, ask="127.0.0.1", ours=("200", ip))
    case("name", "another address", v4, ask="127.0.0.2")
    case("name", "address of IPv6", v6, ask="[::1]", ours=("200", ip))
    case("name", "another address of IPv6", v6, ask="[::2]")
    case("name", "IPv4 in IPv6", named("IP:" + "0" * 20 + "ffff7f000001"), ask="127.0.0.1")
    case("200", "address as a name", named("DNS:127.0.0.1"), ask="127.0.0.1")
    case("200", "address in CN", named(subject=["CN=127.0.0.1"]), ask="127.0.0.1")
    case("200", "wildcard for an address", named("DNS:*.0.0.1"), ask="127.0.0.1")
    case("name", "address of three bytes", named("IP:7f0000"), ask="127.0.0.1")
    case("name", "address as text among addresses", named("IP:" + b"127.0.0.1".hex()), ask="127.0.0.1")


def purposes():
    san, sign = also("DNS:x.example"), usage("signature")
    case("26", "clients only", leaf(ROOT, (san, purpose("client"), sign)))
    case("200", "clients and servers", leaf(ROOT, (san, purpose("client", "server"), sign)))
    case("200", "no purpose", leaf(ROOT, (san, sign)))
    case("26", "any purpose", leaf(ROOT, (san, purpose("any"), sign)))
    case("26", "code", leaf(ROOT, (san, purpose("code"), sign)))
    case("200", "server gated", leaf(ROOT, (san, purpose("netscape"), sign)), ours=("26", gated))
    case("200", "server gated, the other one", leaf(ROOT, (san, purpose("microsoft"), sign)), ours=("26", gated))
    case("200", "critical purpose", leaf(ROOT, (san, purpose("server", critical=True), sign)))
    case("26", "use: certificates only", leaf(ROOT, (san, usage("certificates"))), ours=("shake", used))
    case("200", "use: agreement only", leaf(ROOT, (san, usage("agreement"))), ours=("shake", used))
    case("26", "intermediate for clients only", UNDER, authority("mid", ROOT, (*AUTHORITY, purpose("client"))))
    case("200", "intermediate for servers", UNDER, authority("mid", ROOT, (*AUTHORITY, purpose("server"))))
    case("26", "root for clients only", GOOD, trust=[authority("root", None, (*AUTHORITY, purpose("client")))])
    case("26", "intermediate that is none", UNDER, authority("mid", ROOT, (basic(False),)))
    case("26", "intermediate without constraints", UNDER, authority("mid", ROOT, ()))
    case("32", "a leaf as intermediate", UNDER, authority("mid", ROOT, SERVER), ours=("21", signing))
    case("26", "intermediate of version 1", UNDER, authority("mid", ROOT, (), version=0))
    case("200", "intermediate, constraints not critical", UNDER,
         authority("mid", ROOT, (basic(True, critical=False), usage("certificates"))))
    case("32", "intermediate that must not sign", UNDER, authority("mid", ROOT, (basic(True), usage("signature"))),
         ours=("21", signing))
    case("200", "root of version 1", GOOD, trust=[authority("root", None, (), version=0)])
    case("26", "root that is none", GOOD, trust=[authority("root", None, (basic(False),))])
    case("32", "root that must not sign", GOOD, trust=[authority("root", None, (basic(True), usage("signature")))],
         ours=("21", signing))
    case("200", "leaf of version 1", leaf(ROOT, (), ["CN=x.example"], version=0))
    case("200", "leaf of version 1 with extensions", leaf(ROOT, version=0), ours=("1", strict))
    case("200", "leaf of version 2", leaf(ROOT, (), ["CN=x.example"], version=1))
    case("26", "leaf that is an authority", leaf(ROOT, (*AUTHORITY, also("DNS:x.example"))), ours=("shake", used))


def paths():
    none_below = authority("mid", ROOT, (basic(True, 0), usage("certificates")))
    case("200", "one intermediate", UNDER, MID)
    case("20", "two intermediates", DEEP, LOW, MID)
    case("200", "two intermediates, allowed", DEEP, LOW, MID, depth=2)
    case("20", "no intermediate allowed", UNDER, MID, depth=0)
    case("200", "none, and none needed", GOOD, depth=0)
    case("200", "no intermediate below, and none is", UNDER, none_below)
    case("25", "no intermediate below, and one is", DEEP, LOW, none_below, depth=3)
    case("200", "one below", DEEP, LOW, authority("mid", ROOT, (basic(True, 1), usage("certificates"))), depth=3)
    case("25", "root allows none", UNDER, MID, trust=[authority("root", None, (basic(True, 0), usage("certificates")))])
    case("21", "a length below zero", UNDER, authority("mid", ROOT, (basic(True, -1), usage("certificates"))))
    case("21", "the intermediate is missing", UNDER)
    case("20", "the second intermediate is missing", DEEP, LOW, depth=3)
    case("200", "in the wrong order", DEEP, MID, LOW, depth=3)
    case("200", "with what nobody needs", GOOD, OTHER, LOW, MID)
    case("200", "with the root", UNDER, MID, ROOT)
    case("200", "the root twice", GOOD, ROOT, ROOT)
    case("200", "the leaf twice", GOOD, GOOD)
    case("18", "self-signed", leaf(None, subject=["CN=x.example"]))
    case("200", "self-signed and trusted", leaf(None, subject=["CN=x.example"]),
         trust=[leaf(None, subject=["CN=x.example"])])
    mine = leaf(None, subject=["CN=x.example"], extensions=())
    case("200", "self-signed and trusted, nothing else said", mine, trust=[mine])
    case("18", "self-signed, another of the name trusted", leaf(None, subject=["CN=x.example"], key="ec-fake"),
         trust=[mine],
         ours=("7", signing))
    mine = leaf(None, (*AUTHORITY, usage("signature", "certificates"), also("DNS:x.example"))[0::2],
         subject=["CN=x.example"])
    case("200", "self-signed and trusted, an authority", mine, trust=[mine])
    mine = leaf(None, subject=["CN=x.example"], ends=EARLIER)
    case("10", "self-signed, trusted, expired", mine, trust=[mine])
    case("10", "self-signed, expired", mine)
    mine = leaf(None, (also("DNS:x.example"), purpose("client")))
    case("26", "self-signed, trusted, for clients", mine, trust=[mine])
    mine = leaf(None)
    case("name", "self-signed, trusted, another name", mine, trust=[mine], ask="y.example")
    mine = leaf(None, spoilt=True)
    case("200", "self-signed, trusted, spoilt", mine, trust=[mine], ours=("21", spoilt))
    case("18", "self-signed, spoilt", mine, ours=("21", signing))
    case("19", "root shown and not trusted", leaf(OTHER), OTHER)
    case("21", "root not shown and not trusted", leaf(OTHER))
    case("200", "one of two trusted", leaf(OTHER), trust=[ROOT, OTHER])
    case("7", "a trusted name, another key", leaf(ROOT, by="ec-fake"))
    case("7", "a trusted name, another root shown", leaf(ROOT, by="ec-fake"), authority("root", key="ec-fake"))
    case("7", "signature spoilt", leaf(ROOT, spoilt=True))
    case("7", "signature of the intermediate spoilt", UNDER, authority("mid", ROOT, spoilt=True))
    case("200", "signature of the root spoilt", GOOD, trust=[authority("root", spoilt=True)])
    case("200", "cross-signed, the shorter way", UNDER, MID, authority("mid", OTHER), trust=[ROOT])
    case("20", "cross-signed, the other way", UNDER, authority("mid", OTHER), MID, trust=[ROOT])
    case("200", "cross-signed root", UNDER, MID, authority("root", OTHER), trust=[OTHER], depth=2)
    case("200", "cross-signed root, both trusted", UNDER, MID, authority("root", OTHER), trust=[ROOT, OTHER])
    case("7", "two keys under one name", UNDER, authority("mid", ROOT, key="ec-mid2"), MID)
    case("2", "intermediate trusted, root not", UNDER, MID, trust=[MID])
    case("2", "intermediate trusted and not shown", UNDER, trust=[MID])
    case("21", "leaf trusted, issuer not", GOOD, trust=[GOOD])
    case("200", "intermediate from the trusted file", UNDER, trust=[ROOT, MID])
    case("20", "a circle", UNDER, authority("mid", LOW), LOW, depth=9)
    long, below = [], ROOT
    for at in range(30):
        below = authority(f"long{at}", below, key="ec-mid")
        long.append(below)
    case("200", "thirty intermediates", leaf(below), *reversed(long), depth=40)
    case("20", "thirty, and twenty are allowed", leaf(below), *reversed(long), depth=20)


def name_constraints():
    def under(shown, asked, **limits):
        middle = authority("mid", ROOT, (*AUTHORITY, constraints(**limits)))
        return leaf(MID, (also(*shown),) if shown else (), asked), middle
    case("200", "permitted name", *under(["DNS:x.example"], ["O=o"], permitted=["DNS:example"]))
    case("47", "name that is not permitted", *under(["DNS:x.example"], ["O=o"], permitted=["DNS:other"]))
    case("48", "excluded name", *under(["DNS:x.example"], ["O=o"], excluded=["DNS:x.example"]))
    case("200", "another excluded name", *under(["DNS:x.example"], ["O=o"], excluded=["DNS:y.example"]))
    case("47", "CN that is not permitted", *under([], ["CN=x.example"], permitted=["DNS:other"]))
    case("48", "excluded CN", *under([], ["CN=x.example"], excluded=["DNS:example"]), ours=("47", constrained))
    case("200", "CN that is permitted", *under([], ["CN=x.example"], permitted=["DNS:example"]), ours=("47",
         constrained))
    case("200", "CN that is no name, below permitted ones", *under(["DNS:x.example"], ["CN=some server"],
         permitted=["DNS:example"]))
    case("200", "no address, and all are excluded", *under(["DNS:x.example"], ["O=o"], permitted=["DNS:example"],
                                                         excluded=["IP:0000000000000000"]))
    case("47", "one of two names not permitted", *under(["DNS:x.example", "DNS:x.other"], ["O=o"],
                                                       permitted=["DNS:example"]))
    case("name", "wildcard within", *under(["DNS:*.example"], ["O=o"], permitted=["DNS:example"]))
    case("48", "wildcard below what is excluded", *under(["DNS:*.example"], ["O=o"], excluded=["DNS:example"]))
    case("47", "not below, but alike", *under(["DNS:xexample", "DNS:x.example"], ["O=o"], permitted=["DNS:example"]))
    case("200", "permitted address", *under(["DNS:x.example", "IP:0a000001"], ["O=o"],
         permitted=["IP:0a000000ff000000"]), ours=("51", constrained))
    case("47", "address that is not permitted", *under(["DNS:x.example", "IP:0b000001"], ["O=o"],
                                                      permitted=["IP:0a000000ff000000"]), ours=("51", constrained))
    case("48", "excluded address", *under(["DNS:x.example", "IP:0a000001"], ["O=o"],
         excluded=["IP:0a000000ff000000"]), ours=("51", constrained))
    case("200", "permitted directory", *under(["DNS:x.example"], ["O=o", "CN=leaf"], permitted=["DIR:O=o"]))
    case("47", "directory that is not permitted", *under(["DNS:x.example"], ["O=p"], permitted=["DIR:O=o"]))
    case("48", "excluded directory", *under(["DNS:x.example"], ["O=o"], excluded=["DIR:O=o"]))
    case("53", "constraints on URIs that cannot be", *under(["DNS:x.example", "URI:x"], ["O=o"],
         permitted=["URI:example"]))
    case("200", "root's constraints", leaf(ROOT), trust=[authority("root", None, (*AUTHORITY,
         constraints(["DNS:example"])))])
    case("47", "root's constraints, violated", leaf(ROOT),
         trust=[authority("root", None, (*AUTHORITY, constraints(["DNS:other"])))])


def revoked():
    empty, mids = Revoked(ROOT), Revoked(MID)
    case("23", "leaf revoked", GOOD, crl=[Revoked(ROOT, 17)])
    case("200", "leaf not revoked", GOOD, crl=[empty])
    case("200", "another revoked", GOOD, crl=[Revoked(ROOT, 18)])
    case("23", "leaf below an intermediate revoked", UNDER, MID, crl=[empty, Revoked(MID, 17)])
    case("23", "intermediate revoked", UNDER, MID, crl=[Revoked(ROOT, 17), mids])
    case("200", "nobody revoked", UNDER, MID, crl=[empty, mids])
    case("3", "no list of the intermediate", UNDER, MID, crl=[empty])
    case("3", "no list of the root", UNDER, MID, crl=[mids])
    case("3", "a list of another issuer", GOOD, crl=[Revoked(OTHER, 17)])
    case("8", "list signed with another key", GOOD, crl=[Revoked(ROOT, by="ec-fake")])
    case("8", "list spoilt", GOOD, crl=[Revoked(ROOT, spoilt=True)])
    case("12", "list expired", GOOD, crl=[Revoked(ROOT, ends=EARLIER)])
    case("23", "list expired, and revoked", GOOD, crl=[Revoked(ROOT, 17, ends=EARLIER)])
    case("11", "list not yet valid", GOOD, crl=[Revoked(ROOT, begins=LATE)])
    case("200", "list that never ends", GOOD, crl=[Revoked(ROOT, ends="")])
    case("200", "an old list and a new one", GOOD, crl=[Revoked(ROOT, 17, ends=EARLIER), empty])
    case("35", "issuer that must not sign lists", GOOD, crl=[empty],
         trust=[authority("root", None, (basic(True), usage("certificates")))])
    case("36", "unknown critical extension in a list", GOOD, crl=[Revoked(ROOT, extensions=[UNKNOWN_CRITICAL])])
    case("36", "unknown critical extension of an entry", GOOD,
         crl=[Revoked(ROOT, 18, entry=[sequence(UNKNOWN_CRITICAL)])])
    reason = extension("2.5.29.21", tlv(10, b"\x08"))
    case("200", "taken back (removeFromCRL)", GOOD, crl=[Revoked(ROOT, 17, entry=[sequence(reason)])])
    case("200", "list signed with SHA-1", GOOD, crl=[Revoked(ROOT, digest="sha1")])


def strength():
    def keyed(kind, **more):
        return leaf(ROOT, key=f"{kind}-leaf", **more)

    def rooted(kind, **more):
        top = authority("top", key=f"{kind}-top", **more)
        return {"trust": [top]}, leaf(top)
    for kind, answer in (("rsa2048", "200"), ("p384", "200"), ("p521", "200"), ("ed25519", "200"), ("pss", "200"),
                         ("rsa1024", "66"), ("rsa512", "shake")):
        case(answer, f"key of {kind}", keyed(kind), **({"ours": ("shake", keys)} if kind == "pss" else {}))
    for kind, answer in (("rsa2048", "200"), ("p384", "200"), ("p521", "200"), ("ed25519", "200"), ("pss", "200"),
                         ("rsa1024", "67"), ("rsa512", "67"), ("p224", "200"), ("k256", "200")):
        more, shown = rooted(kind)
        if kind in ("pss", "k256"):
            more["ours"] = ("6", keys)
        case(answer, f"root's key of {kind}", shown, **more)
    case("68", "leaf signed with SHA-1", leaf(ROOT, digest="sha1"))
    case("200", "leaf signed with SHA-224", leaf(ROOT, digest="sha224"))
    case("200", "leaf signed with SHA-512", leaf(ROOT, digest="sha512"))
    case("68", "intermediate signed with SHA-1", UNDER, authority("mid", ROOT, digest="sha1"))
    case("200", "root signed with SHA-1", GOOD, trust=[authority("root", digest="sha1")])
    rsa = authority("rsa", key="rsa2048-top")
    case("68", "leaf signed with MD5", leaf(rsa, digest="md5"), trust=[rsa])
    case("68", "leaf signed with SHA-1 and RSA", leaf(rsa, digest="sha1"), trust=[rsa])
    case("200", "weaker signatures are allowed", leaf(ROOT, digest="sha1"), level=0)
    case("200", "weaker keys are allowed", keyed("rsa1024"), level=1)
    case("67", "weak intermediate", leaf(authority("weak", ROOT, key="rsa1024-weak")),
         authority("weak", ROOT, key="rsa1024-weak"))


def oddities():
    case("34", "unknown critical extension", leaf(ROOT, (*SERVER, UNKNOWN_CRITICAL)))
    case("34", "unknown critical extension of the intermediate", UNDER,
         authority("mid", ROOT, (*AUTHORITY, UNKNOWN_CRITICAL)))
    case("34", "unknown critical extension of the root", GOOD,
         trust=[authority("root", None, (*AUTHORITY, UNKNOWN_CRITICAL))])
    case("200", "unknown extension", leaf(ROOT, (*SERVER, extension("1.2.3.4.5", b"\x05\x00"))))
    case("200", "negative serial number", leaf(ROOT, serial=-5))
    case("200", "serial number zero", leaf(ROOT, serial=0))
    case("200", "serial number of 40 bytes", leaf(ROOT, serial=1 << 315))
    case("21", "the same extension twice", leaf(ROOT, (*SERVER, purpose("server"))), broken=True, ours=("41", strict))
    case("21", "names twice", leaf(ROOT, (*SERVER, also("DNS:y.example"))), broken=True, ours=("41", strict))
    case("21", "names that are no DER", leaf(ROOT, (extension("2.5.29.17", b"\x30\x80\x01"), purpose("server"))),
         broken=True, ours=("41", strict))
    case("21", "constraints that are no DER", leaf(ROOT, (also("DNS:x.example"), extension("2.5.29.19", b"\xff\xff",
         True))), broken=True, ours=("41", strict))
    case("200", "policies", leaf(ROOT, (*SERVER, extension("2.5.29.32", sequence(sequence(oid("1.2.3"))), True))))
    case("200", "a policy twice", leaf(ROOT, (*SERVER, extension("2.5.29.32", sequence(*[sequence(oid("1.2.3"))] * 2),
         True))))
    case("200", "must-staple", leaf(ROOT, (*SERVER, extension("1.3.6.1.5.5.7.1.24", sequence(integer(5))))))
    case("34", "precertificate's poison", leaf(ROOT, (*SERVER, extension("1.3.6.1.4.1.11129.2.4.3", b"\x05\x00",
         True))))
    case("7", "two algorithms", leaf(ROOT, outer=sequence(oid("1.2.840.10045.4.3.3"))))
    case("200", "an issuer whose name is in another case", leaf(ROOT, issued_by=name("CN=ROOT")))
    case("21", "an issuer of another name", leaf(ROOT, issued_by=name("CN=tree")))
    case("200", "authority's key by number, right", leaf(ROOT, (*SERVER, extension("2.5.29.35", sequence(tlv(0x82,
         b"\x11"))))))
    case("200", "authority's key identifier, wrong", leaf(ROOT, (*SERVER, extension("2.5.29.35", sequence(tlv(0x80,
         b"12345678"))))))
    case("shake", "the key is not that of the certificate", leaf(ROOT, key="ec-shown"), key="ec-leaf")


def fill():
    for add_ in (times, names, addresses, purposes, paths, name_constraints, revoked, strength, oddities):
        add_()
    return CASES
