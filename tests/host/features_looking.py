"""Looking at containers as docker's users do: filters, formats, several ids, disk use."""

import json
import os
import subprocess
import time

from checks import scaled
from rig import check, check_equal, until


def ids(rig, *options):
    mine = [i for i in rig.ok("ps", "-q", *options).lines() if i.startswith(rig.prefix)]
    return sorted(i[len(rig.prefix):] for i in mine)


def test_ps_filters_on_the_server(rig):
    rig.run(rig.id("web"), "sleep", "1000", options=("-l", "tier=front", "-l", "x=1"))
    rig.run(rig.id("db"), "sleep", "1000", options=("-l", "tier=back"))
    rig.run(rig.id("job"), "sh", "-c", "exit 3", options=("-l", "x=2"))
    rig.ok("wait", rig.id("job"))
    rig.ok("create", "--name", rig.id("new"), "--rootfs", rig.rootfs, "true")
    rig.crash_point()
    for wanted, *filters in ((["db", "web"],), (["web"], "label=tier=front"),
                             (["db", "web"], "label=tier"), (["job"], "status=exited"),
                             (["job", "web"], "label=x", "state=running", "state=stopped"),
                             (["job"], "exited=3"), ([], "exited=4"), (["new"], "state=created"),
                             (["db"], "name=" + rig.id("d")), ([], "label=tier", "label=x=2"),
                             ([], "runtime=/nowhere")):
        check_equal(ids(rig, *(f"--filter={f}" for f in filters)), wanted, f"{filters}")


def test_formats(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000", options=("-l", "k.x=v",))
    rig.crash_point()
    said = rig.ok("ps", "--filter", f"name={a}", "--format",
                  "{{.ID}} {{.State}} {{index .labels \"k.x\"}}").out
    check_equal(said, f"{a} running v\n", "a line of ps")
    pid = rig.ok("inspect", "--format", "{{.Pid}}", a).out.strip()
    check_equal(int(pid), rig.init_pid(a), "the pid of inspect")
    said = rig.ok("events", "--since", "10m", "--filter", f"container={a}", "--filter",
                  "type=start", "--format", "{{.type}} {{.container}}").out
    check_equal(said, f"start {a}\n", "a line of events")
    check_equal(rig.ok("events", "--since", "10m", "--until", "9m").out, "", "long ago")
    check_equal(rig.ok("--json", "events", "--since", "0", "--filter", f"container={a}", "--filter",
                       "process=other").out, "", "events of another process")
    check("/ --" in rig.ok("stats", "--format", "{{.MemUsage}}", a).out, "no limit")
    check_equal(len(rig.ok("info", "--format", "{{.pid}}").lines()), 1, "info")


def test_logs_are_cut_on_the_server(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "echo one; echo two >&2; echo three")
    rig.ok("wait", a)
    rig.crash_point()
    check_equal(rig.ok("logs", "--grep", "t", "--stream", "stdout", a).out, "three\n", "grep")
    check_equal(rig.ok("logs", "--stream", "stderr", a).err, "two\n", "stderr alone")
    check_equal(rig.ok("logs", "--since", "1h", "--grep", "one", a).out, "one\n", "since")
    done = rig.ok("logs", "--until", "1h", a)
    check_equal((done.out, done.err), ("", ""), "nothing so long ago")
    for wrong, word in ((("--since", "soon"), "not a time"), (("--grep", ""), "empty"),
                        (("--grep", "a\nb"), "newline"), (("--stream", "stdin"), "stdout or"),
                        (("--since", "1m", "--until", "2m"), "later than --since"),
                        (("--grep", "x" * 5000), "more than 4096 bytes")):
        refused = rig.gantry("logs", *wrong, a)
        check(refused.code in (1, 125) and word in refused.err, f"{word}: {refused!r}")
        check_equal(refused.err.count("\n"), 1, "one line")


def test_a_follower_of_a_log_ends_at_its_time(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "echo early; sleep 1000")
    until(lambda: rig.ok("logs", a).out, "its first line is there")
    rig.crash_point()
    end = time.time() + scaled(3)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(end)) + f".{int(end * 1000) % 1000:03}Z"
    done = rig.ok("logs", "-f", "--until", stamp, a)
    check_equal(done.out, "early\n", "what came until then")
    check(time.time() >= end - 0.1, "and not before its time")


def test_several_ids_at_once(rig):
    names = [rig.id(x) for x in "abc"]
    for name in names:
        rig.run(name, "sleep", "1000")
    rig.crash_point()
    done = rig.gantry("kill", "-s", "KILL", names[0], rig.id("none"), names[1])
    check_equal(done.out.split(), names[:2], "what was killed")
    check_equal((done.code, done.err.count("\n")), (125, 1), f"one fails: {done!r}")
    check_equal(rig.ok("wait", *names[:2]).out, "137\n137\n", "their exits")
    check_equal(rig.ok("stop", "-t", "0", names[2]).out, names[2] + "\n", "stop")
    check_equal(rig.ok("rm", *names).out.split(), names, "rm")


def test_disk_use(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c",
            "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo line $i; done; sleep 99")
    until(lambda: "line 5000" in rig.ok("logs", "--tail", "1", a).out, "all is written")
    rig.crash_point()

    def use():
        whole = rig.ok("--json", "system", "df").objects()[0]
        return whole, next(c for c in whole["containers"] if c["id"] == a)
    until(lambda: use()[1]["log_bytes"] >= 5000 * 60, "the log's bytes are counted")
    whole, mine = use()
    check(whole["journal_bytes"] > 0 and whole["journal_files"] > 0, f"the journal: {whole}")
    check(mine["log_files"] >= 1 and mine["bundle_bytes"] > 0, f"the container: {mine}")
    check("journal" in rig.ok("system", "df").out, "a table")
    rig.ok("rm", "-f", a)
    check(all(c["id"] != a for c in rig.ok("--json", "system", "df").objects()[0]["containers"]),
          "a removed container has nothing")


def test_completion_knows_the_containers(rig):
    a, b = rig.id("a"), rig.id("b")
    rig.run(a, "sleep", "1000")
    rig.run(b, "true")
    rig.ok("wait", b)
    rig.crash_point()
    script = rig.ok("completion", "bash").out
    env = dict(rig.environment(), PATH=rig.bin_dir + ":" + os.environ["PATH"])

    def complete(*words):
        line = " ".join(f"'{w}'" for w in ("gantry", *words))
        text = (script + f"\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _gantry;"
                " echo ${COMPREPLY[@]}")
        return subprocess.run(["bash", "-c", text], env=env, capture_output=True, text=True,
                              check=True).stdout.split()
    mine = lambda words: sorted(w for w in words if w.startswith(rig.prefix))  # noqa: E731
    check_equal(mine(complete("logs", "")), [a, b], "logs takes all")
    check_equal(mine(complete("stop", "")), [a], "stop takes those that live")
    check_equal(mine(complete("start", "")), [b], "start takes those that do not")
    check_equal(complete("run", "--network", "h"), ["host"], "values of an option")
    check_equal(complete("run", "--cap-add", "NET_A"), ["NET_ADMIN"], "capabilities")


def test_start_up_costs_little(rig):
    """The program itself, without the daemon: the least of several starts counts. A machine on
    which a bare program takes long has ten times that."""
    text = ("import json,subprocess,sys,time\nbest={}\n"
            "for _ in range(20):\n  for args in (['/bin/true'],[sys.argv[1],'--version'],"
            "[sys.argv[1],'ps']):\n"
            "    t=time.perf_counter()\n"
            "    subprocess.run(args,stdout=subprocess.DEVNULL,check=True)\n"
            "    best[args[-1]]=min(best.get(args[-1],9),time.perf_counter()-t)\n"
            "print(json.dumps(best))")
    done = subprocess.run(["/usr/bin/python3", "-c", text, os.path.join(rig.bin_dir, "gantry")],
                          env=rig.environment(), capture_output=True, text=True, check=True)
    best = json.loads(done.stdout)
    rig.crash_point()
    bare = best.pop("/bin/true")
    for what, seconds in best.items():
        check(seconds < max(scaled(0.01), 10 * bare), f"gantry {what} takes {seconds * 1000:.1f} "
              f"ms at best, /bin/true {bare * 1000:.1f} ms")
