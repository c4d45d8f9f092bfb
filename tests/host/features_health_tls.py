"""Health: probes over TLS, against Python's ssl. The containers have no network but loopback."""

import os
import shutil
import subprocess

from features_health_kinds import GRPC_SERVER, PYTHON, inside, last_result, wait_health
from marks import once
from rig import check, check_equal, until

QUICK = ("--health-interval", "200ms", "--health-timeout", "5s", "--health-retries", "1")

# Serves 127.0.0.1:8443, each connection in a thread, as its word says. It writes down what was
# asked: the name in TLS, and the request.
SERVER = """
import os, socket, ssl, sys, threading, time
word, pem, told = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(pem)
names = []
context.sni_callback = lambda s, name, c: names.append(name)
listener = socket.create_server(("127.0.0.1", 8443), backlog=50)
OK = b"HTTP/1.1 200 OK\\r\\n"

def serve(c):
    if word == "hang":
        time.sleep(1000)
    if word == "plain":
        c.recv(4096)
        return c.sendall(b"HTTP/1.1 400 Bad Request\\r\\n\\r\\n")
    if word == "gone":
        return c.recv(4096)
    with context.wrap_socket(c, server_side=True) as s:
        asked = s.recv(4096)
        with open(told + ".new", "w") as f:
            f.write(f"{names[-1:]}\\n" + asked.decode())
        os.rename(told + ".new", told)
        if word == "switch":
            s.sendall(OK if os.path.exists(told + ".ok") else b"HTTP/1.1 503 Busy\\r\\n")
            s.sendall(b"\\r\\n" + b"x" * 100000)
        if word == "open":
            s.sendall(OK + b"\\r\\n")
            time.sleep(1000)
        if word == "long":
            s.sendall(b"a" * 1048576)
        while word == "drip":
            s.sendall(b"H")
            time.sleep(1)

def guard(c):
    try:
        serve(c)
    except OSError:
        pass
    c.close()

while True:
    threading.Thread(target=guard, args=(listener.accept()[0],), daemon=True).start()
"""


def make_pem(path, days="2", names="DNS:web.example,IP:127.0.0.1"):
    """A key, and a certificate that it has signed itself; both in one file, and each apart."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=web", "-addext", f"subjectAltName={names}", "-keyout", path + ".key",
            "-out", path + ".req")
    openssl("x509", "-req", "-in", path + ".req", "-signkey", path + ".key", "-days", days,
            "-copy_extensions", "copy", "-out", path + ".crt")
    with open(path + ".key") as key, open(path + ".crt") as crt, open(path, "w") as whole:
        whole.write(crt.read() + key.read())


def serve(rig, name, word, *options):
    """A server in a container; the path, as we have it, of what it writes down."""
    program, ours = inside(rig, name + ".py")
    with open(ours, "w") as f:
        f.write(SERVER)
    pem, our_pem = inside(rig, name + ".pem")
    if not os.path.exists(our_pem):
        make_pem(our_pem)
    told, our_told = inside(rig, name + ".told")
    rig.run(name, "/usr/bin/python3", program, word, pem, told, options=(*PYTHON, *options))
    return our_told


def test_https_on_the_loopback_of_a_container(rig):
    a = rig.id("a")
    open(inside(rig, a + ".told.ok")[1], "w").close()
    told = serve(rig, a, "switch", "--health-https", "8443/ready?x=1", "--health-header",
                 "Host: web.example:8443", *QUICK)
    wait_health(rig, a, "healthy")
    rig.crash_point()
    asked = open(told).read()
    check(asked.startswith("['web.example']\nGET /ready?x=1 HTTP/1.1\n"), f"asked: {asked}")
    check("\nHost: web.example:8443\n" in asked, f"asked: {asked}")
    probe = rig.show(a)["health_detail"]["probes"][0]
    check("https://127.0.0.1:8443/ready" in probe["what"], probe["what"])
    check("certificate is not verified" in probe["what"], probe["what"])
    os.unlink(told + ".ok")
    wait_health(rig, a, "unhealthy")
    check_equal(last_result(rig, a)["output"], "HTTP/1.1 503 Busy (asked for 200 to 399)", "answer")
    rig.ok("update", "--health-status", "503", a)
    wait_health(rig, a, "healthy")
    done = rig.gantry("health", "run", a)
    check(done.code == 0 and "HTTP/1.1 503 Busy" in done.out, f"on demand: {done!r}")
    check_equal(rig.events("exec-added", "exec-started", container=a), [], "no process was needed")


def test_https_servers_that_misbehave(rig):
    servers = {
        "hang": ("timeout", "waiting for the TLS handshake of 127.0.0.1:8443"),
        "plain": ("failed", "this is no TLS: \"HTTP/1.1 400 Bad Request\""),
        "gone": ("failed", "closed the connection"),
        # A byte a second: no status within the time.
        "drip": ("timeout", "waiting for an answer of 127.0.0.1:8443"),
        "long": ("failed", "more than 65536 bytes"),
        "open": ("passed", "200 OK"),
    }
    for name in servers:
        serve(rig, rig.id(name), name, "--health-https", "8443", "--health-interval", "300ms",
              "--health-timeout", "700ms", "--health-retries", "1")
    rig.crash_point()
    for name, (label, words) in servers.items():
        def told(name=name, label=label, words=words):
            r = last_result(rig, rig.id(name))
            return r and r["result"] == label and words in r["output"]
        until(told, f"{name}: {label}, {words}")
        rig.ok("rm", "-f", rig.id(name))


def test_a_liveness_probe_by_https(rig):
    a = rig.id("a")
    open(inside(rig, a + ".told.ok")[1], "w").close()
    serve(rig, a, "switch", "--health-liveness",
          "https://:8443/live,period=200ms,timeout=5s,failures=1")
    rig.crash_point()
    wait_health(rig, a, "healthy")
    check_equal(last_result(rig, a)["output"], "HTTP/1.1 200 OK", "answer")


def test_a_certificate_is_verified_on_request(rig):
    page = ("--health-https", "8443/")
    asked = {
        "good": (("--health-host", "web.example"), "healthy", "HTTP/1.1 200 OK"),
        "address": ((), "healthy", "HTTP/1.1 200 OK"),
        "name": (("--health-host", "db.example"), "unhealthy", "hostname mismatch"),
        "expired": ((), "unhealthy", "certificate has expired"),
        "own": ((), "unhealthy", "self-signed certificate"),
    }
    other = rig.path("other.pem")
    make_pem(other)
    for name, (options, _, _) in asked.items():
        a = rig.id(name)
        ours = inside(rig, a + ".pem")[1]
        make_pem(ours, "-1" if name == "expired" else "2")
        open(inside(rig, a + ".told.ok")[1], "w").close()
        by = rig.path(a + ".crt")
        shutil.copy((other if name == "own" else ours) + ".crt", by)
        serve(rig, a, "switch", *page, *options, "--health-tls-ca", by, *QUICK)
        os.unlink(by)  # What was in it is kept.
    rig.crash_point()
    for name, (_, health, words) in asked.items():
        wait_health(rig, rig.id(name), health)
        result = last_result(rig, rig.id(name))
        check(words in result["output"], f"{name}: {result}")
    a = rig.id("own")
    check("certificate is verified" in rig.show(a)["health_detail"]["probes"][0]["what"], "shown")
    rig.ok("update", *page, a)  # The question anew, without it.
    wait_health(rig, a, "healthy")


GRPCS = GRPC_SERVER.replace(
    'server.add_insecure_port("127.0.0.1:9000")',
    """pem = open(sys.argv[2], "rb").read()
server.add_secure_port("127.0.0.1:9443", grpc.ssl_server_credentials([(pem, pem)]))""")


def test_the_health_service_of_grpc_over_tls(rig):
    a, b = rig.id("a"), rig.id("b")
    program, ours = inside(rig, a + ".py")
    with open(ours, "w") as f:
        f.write(GRPCS)
    pem, our_pem = inside(rig, a + ".pem")
    make_pem(our_pem)
    for name, options in ((a, ("--health-grpcs", "9443")),
                          (b, ("--health-grpcs", "9443/down", "--health-host", "web.example",
                               "--health-tls-ca", our_pem + ".crt"))):
        rig.run(name, "/usr/bin/python3", program, "health", pem,
                options=(*PYTHON, *options, *QUICK))
    rig.crash_point()
    wait_health(rig, a, "healthy")
    check_equal(last_result(rig, a)["output"], "SERVING", "answer")
    wait_health(rig, b, "unhealthy")
    until(lambda: last_result(rig, b)["output"] == "NOT_SERVING", "answer")


@once
def test_bad_tls_options_are_refused(rig):
    a = rig.id("a")
    empty, key = rig.path("empty"), rig.path("key.pem")
    open(empty, "w").close()
    make_pem(key)
    for options, words in (
            (("--health-https", "8443", "--health-tls-ca", "/no/such/file"), "/no/such/file"),
            (("--health-https", "8443", "--health-tls-ca", "/etc/hostname"), "certificate"),
            (("--health-https", "8443", "--health-tls-ca", key), "private key"),
            (("--health-http", "8080", "--health-tls-ca", key + ".crt"), "tls_ca"),
            (("--health-tcp", "8080", "--health-host", "x"), "host"),
            (("--health-https", "8443", "--health-host", "a b"), "host"),
            (("--health-liveness", "https://:8443/,tls-ca=/no/such/file"), "/no/such/file")):
        done = rig.gantry("create", "--name", a, "--rootfs", rig.rootfs, *options, "true")
        check(done.code == 125 and words in done.err, f"{options}: {done!r}")
