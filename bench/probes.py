"""What health probes cost, how late they begin, and how soon one hears of them."""

import calendar
import json
import os
import re
import signal
import subprocess
import time

import harness
import peer_docker
import peers
from harness import NotMeasured, median, spread


def probe(b):
    """What a probe over the network costs: by itself, and with its actor and its record."""
    done = subprocess.run([os.path.join(b.tools, "probe_bench"), str(b.n(10, 2))],
                          capture_output=True, text=True, timeout=120)
    found = re.findall(r"^(\w+) .*: (\d+) a second, ([\d.]+) us of CPU each \((\d+) .*; (\d+) "
                       "failed", done.stdout, re.M)
    if len(found) != 2 or done.returncode != 0:
        raise NotMeasured(f"probe_bench failed: {done.stdout[-300:]}{done.stderr[-300:]}")
    for kind, rate, cpu, alone, failed in found:
        b.row("probe", f"{kind}: probes a second on one core, without actors", float(alone), "/s",
              f"done {rate}/s beside their server, {failed} failed", "≥ 10000",
              float(alone) >= 10000)
        most = 60 if kind == "http" else 40
        b.row("probe", f"{kind}: CPU of a probe, without actors", float(cpu), "us", "",
              f"≤ {most}", float(cpu) <= most)
    for kind, question, most in (("http", "127.0.0.1:8080/", 60), ("tcp", "127.0.0.1:8080", 40)):
        whole_probes(b, kind, question, most)
    httpd = ("httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/tmp")
    real_probes(b, "http", httpd, ("--health-http", "8080/", "--health-status", "200-404"))
    tls = ("/usr/bin/openssl", "s_server", "-accept", "127.0.0.1:8443", "-cert", "/tmp/tls.pem",
           "-quiet", "-www")
    host = ("-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro")
    real_probes(b, "https", tls, ("--health-https", "8443/", *host))


def whole_probes(b, kind, question, most):
    """Servers in network namespaces of their own, asked as often as may be; all is recorded."""
    count, seconds = b.n(250, 20), b.n(10, 3)
    with b.supervisor("--runtime", os.path.join(b.tools, "bench_stub_runtime")) as r:
        for i in range(count):
            r.run(f"p{i}", "serve", "8080", options=(f"--health-{kind}", question,
                                                     "--health-interval", "20ms"))
        time.sleep(3)
        cpu, n, took = spent(r, seconds)
        healthy = sum(r.show(f"p{i}")["health"] == "healthy" for i in range(count))
    if healthy != count:
        raise NotMeasured(f"{count - healthy} servers did not keep up")
    done = f"{cpu / took * 100:.0f} % of a core; each recorded"
    b.row("probe", f"{kind}: probes a second of gantryd, {count} namespaces", n / took, "/s", done,
          "≥ 10000", None if b.quick else n / took >= 10000)
    b.row("probe", f"{kind}: CPU of gantryd a probe at that rate", cpu / n * 1e6, "us", "",
          f"≤ {most}", cpu / n * 1e6 <= most)


def make_pem(path):
    """A key and the certificate that it signed itself, in one file."""
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                           "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=bench", "-days",
                           "2", "-keyout", "-", "-out", "-"], check=True, capture_output=True)
    with open(path, "wb") as f:
        f.write(done.stdout)


def real_probes(b, kind, server, options):
    """Few real containers: here nearly each answer wakes gantryd."""
    count, seconds = b.n(20, 5), b.n(10, 3)
    with b.supervisor() as r:
        if kind == "https":
            make_pem(os.path.join(r.rootfs, "tmp", "tls.pem"))
        for i in range(count):
            r.run(f"p{i}", *server, options=(*options, "--health-interval", "20ms"))
        time.sleep(2)
        cpu, n, took = spent(r, seconds)
        healthy = sum(r.show(f"p{i}")["health"] == "healthy" for i in range(count))
        b.row("probe", f"{kind}: CPU of gantryd a probe, {count} real containers", cpu / n * 1e6,
              "us", f"{n / took:.0f} probes a second, each recorded; {healthy} healthy")


def on_time(b):
    """A server in a network namespace of its own in each of many, each asked once a second."""
    count, seconds = b.n(1000, 50), b.n(20, 6)
    with b.supervisor("--runtime", os.path.join(b.tools, "bench_stub_runtime")) as r:
        ids = [f"p{i}" for i in range(count)]
        for x in ids:
            r.run(x, "serve", "8080", options=("--health-http", "127.0.0.1:8080/",
                                               "--health-interval", "1s"))
        time.sleep(5)
        slow = turns(r)["slow_turns"]
        cpu, n, took = spent(r, seconds)
        slow = turns(r)["slow_turns"] - slow
        late = [ms for i in range(0, count, 100) for ms in lateness(r, ids[i:i + 100])]
    p99 = harness.quantile(late, 0.99)
    b.row("on-time", f"{count} http probes a second in {count} network namespaces: begun late, p99",
          p99, "ms", f"median {median(late):.2f}, the latest {max(late):.1f}, of {len(late)}; "
          f"{n / took:.0f} results a second", "≤ 50", p99 <= 50, lateness_ms=late)
    b.row("on-time", "the same: turns over 5 ms", float(slow), "", f"in {took:.0f} s", "0",
          slow == 0)
    b.row("on-time", "the same: CPU of gantryd a probe", cpu / n * 1e6, "us", "", "≤ 60",
          cpu / n * 1e6 <= 60)


def spent(r, seconds):
    """Of so many seconds: the CPU of gantryd, the results that it recorded, the time it took."""
    first = records(r, "x1")
    cpu, began = harness.cpu_seconds(r.pid()), time.monotonic()
    time.sleep(seconds)
    cpu, took = harness.cpu_seconds(r.pid()) - cpu, time.monotonic() - began
    return cpu, records(r, "x2") - first, took


def turns(r):
    return r.ok("--json", "info").objects()[0]


def seconds_of(text):
    """Of a time as gantry prints it."""
    whole, rest = re.match(r"([^.]+)\.(\d+)", text).groups()
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float("0." + rest)


def lateness(r, ids):
    """Milliseconds between when a probe was due, a second after the one before, and its begin."""
    out = []
    for shown in r.ok("--json", "inspect", *ids).objects():
        results = shown["health_detail"]["probes"][0]["results"]
        if any(x["result"] != "passed" for x in results):
            raise NotMeasured(f"a probe of {shown['id']} failed: {results}")
        times = [(seconds_of(x["began_at"]), seconds_of(x["ended_at"])) for x in results]
        out += [(b[0] - a[1]) * 1e3 - 1000 for a, b in zip(times, times[1:])]
    return out


def records(r, name):
    """How many records there have been, by those of a container of its own."""
    r.run(name, "true")
    return r.wait_event("create", name)["seq"]


def at_rest(b):
    """The memory of a probe that is not due for an hour."""
    count = b.n(500, 50)
    stub = os.path.join(b.tools, "bench_stub_runtime")
    probe = ("--health-tcp", "8080", "--health-interval", "1h")
    with b.supervisor("--runtime", stub) as r:
        pids = r.pid(), r.daemon.pid

        def grown(label, options):
            before = harness.settled_pss(pids)
            for i in range(count):
                r.run(f"{label}{i}", "sleep", "1000", options=options)
            time.sleep(12)  # Idle log files and their buffers go.
            return (harness.settled_pss(pids) - before) / count

        grown("warm", probe)
        per = {False: grown("without", ()), True: grown("with", probe)}
    cost = per[True] - per[False]
    b.row("probe-rest", f"a probe at rest, of {count} containers with and without", cost, "KiB",
          f"a container {per[False]:.1f} without, {per[True]:.1f} with it", "≤ 4", cost <= 4)


def told(b):
    """From the SIGKILL of a probe's process to the `health` event at a client that follows."""
    samples = []
    with b.supervisor() as r:
        ok = os.path.join(r.rootfs, "tmp", "ok")
        open(ok, "w").close()
        r.run("p", "sleep", "100000", options=("--health-cmd", "test -e /tmp/ok || exec sleep 1000",
                                               "--health-retries", "1", "--health-interval", "50ms",
                                               "--health-timeout", "1h"))
        follower = subprocess.Popen([os.path.join(b.bin, "gantry"), "--json", "events", "-f",
                                     "--filter", "type=health"], stdout=subprocess.PIPE, text=True,
                                    env={**os.environ, "GANTRY_SOCKET": r.socket})
        try:
            for _ in range(b.n(50, 5)):
                wait_for(follower, "healthy")
                os.unlink(ok)
                pid = asleep(r)
                began = time.monotonic_ns()
                os.kill(pid, signal.SIGKILL)
                wait_for(follower, "unhealthy")
                samples.append(time.monotonic_ns() - began)
                open(ok, "w").close()
        finally:
            peers.stop(follower)
    x = spread(samples)
    b.row("probe-told", "SIGKILL of a probe's process to the health event in gantry events -f",
          x["median"], "ms", f"p90 {x['p90']:.2f}, p99 {x['p99']:.2f}", "≤ 1", x["median"] <= 1,
          samples_ns=samples)


def wait_for(follower, health):
    for line in follower.stdout:
        if json.loads(line)["details"]["new"] == health:
            return
    raise NotMeasured("the events ended")


def asleep(r):
    """The pid of the probe, once it is `sleep 1000`: of its container init sleeps longer."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        for line in r.ok("--json", "top", "--no-stream", "p").objects():
            if line["command"] == "sleep 1000":
                return line["pid"]
    raise NotMeasured("no probe runs")


def busy_seconds():
    """CPU that the machine has used: user, nice, system, irq and softirq of /proc/stat."""
    ticks = harness.read("/proc/stat").split("\n")[0].split()[1:]
    return sum(int(ticks[i]) for i in (0, 1, 2, 5, 6)) / os.sysconf("SC_CLK_TCK")


def machine_cpu(seconds):
    first = busy_seconds()
    time.sleep(seconds)
    return (busy_seconds() - first) / seconds


def rate(begins):
    """Checks a second of all, by the last begins of each."""
    return sum((len(x) - 1) / (max(x) - min(x)) for x in begins if len(x) > 1)


def exec_wall(b):
    """How long a probe by a command takes, beside the bare runtime with the same command.

    As seldom as the probe: moving a process into a cgroup waits for an RCU grace period where
    nobody has moved one just before (cgroup_threadgroup_rwsem), 10 ms or more."""
    count = b.n(60, 10)
    with b.supervisor() as r:
        bare = spread(b.driver("exec", socket=r.socket, rootfs=r.rootfs, count=count,
                               pause=100)["bare_ns"])
        r.run("p0", "sleep", "100000", options=("--health-cmd", '["/bin/true"]',
                                                "--health-interval", "100ms"))
        time.sleep(count * 0.15 + 1)
        runs = r.ok("--json", "events", "--since", "0", "--filter", "type=probe").objects()
    took = spread([int(e["details"]["took_ns"]) for e in runs[-count:]])
    more = took["median"] - bare["median"]
    b.row("probe-wall", "a probe by /bin/true, from its beginning to its end, median",
          took["median"], "ms", f"bare runc exec -d: {bare['median']:.3f} (p90 {bare['p90']:.3f}), "
          f"of {took['n']}")
    b.row("probe-wall", "above the bare runtime (median)", more, "ms", "", "≤ 1", more <= 1)


def by_exec(b):
    """Ten containers asked by /bin/true once a second: CPU of the whole machine."""
    count, seconds = 10, b.n(20, 4)
    with b.supervisor() as r:
        time.sleep(2)
        idle = machine_cpu(seconds)
        for i in range(count):
            r.run(f"p{i}", "sleep", "100000", options=("--health-cmd", "true",
                                                       "--health-interval", "1s"))
        time.sleep(6)
        ours = machine_cpu(seconds) - idle
        seen = r.ok("--json", "inspect", *[f"p{i}" for i in range(count)]).objects()
        done = rate([[seconds_of(x["began_at"])
                      for x in c["health_detail"]["probes"][0]["results"]] for c in seen])
    b.row("probe-exec", f"{count} containers, an exec probe a second each: CPU of the machine",
          ours * 1e3, "ms/s", f"{done:.1f} checks a second")
    with peers.peer(b, peer_docker.Dockerd) as d:
        idle = machine_cpu(seconds)
        for i in range(count):
            d.docker("run", "-d", "--network", "none", "--name", f"p{i}", "--health-cmd",
                     "/bin/true", "--health-interval", "1s", "gantry-bench", "/bin/sleep",
                     "100000")
        time.sleep(6)
        theirs = machine_cpu(seconds) - idle
        seen = [json.loads(d.docker("inspect", f"p{i}"))[0]["State"]["Health"]["Log"]
                for i in range(count)]
        done = rate([[seconds_of(x["Start"]) for x in log] for log in seen])
    ratio = ours / theirs
    b.row("probe-exec", "the same of dockerd (--health-cmd)", theirs * 1e3, "ms/s",
          f"{done:.1f} checks a second")
    b.row("probe-exec", "gantry's share of dockerd's", ratio, "", "", "≤ 0.5", ratio <= 0.5)


FIGURES = {"probe": probe, "on-time": on_time, "probe-rest": at_rest, "probe-told": told,
           "probe-exec": by_exec, "probe-wall": exec_wall}
