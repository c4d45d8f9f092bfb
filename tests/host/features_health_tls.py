"""Health: probes over TLS, against Python's ssl. The containers have no network but loopback."""

import os
import subprocess

from features_health_kinds import PYTHON, inside, last_result, wait_health
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


def make_pem(path, names="DNS:web.example,IP:127.0.0.1"):
    """A key and the certificate that it signed itself, in one file."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=web", "-days", "2",
                    "-addext", f"subjectAltName={names}", "-keyout", path + ".key", "-out",
                    path], check=True, capture_output=True)
    with open(path + ".key") as key, open(path, "a") as whole:
        whole.write(key.read())


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
