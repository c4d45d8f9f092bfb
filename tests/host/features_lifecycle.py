"""Create, start, run, wait, stop, remove, and the exit codes in between."""

from rig import check, check_equal, until


def test_run_in_the_foreground(rig):
    done = rig.ok("run", "--rm", "--rootfs", rig.rootfs, "--", "sh", "-c", "echo out; echo err >&2")
    check_equal(done.out, "out\n", "stdout")
    check_equal(done.err, "err\n", "stderr")


def test_foreground_survives_a_crash(rig):
    child = rig.spawn("run", "--name", rig.id("a"), "--rootfs", rig.rootfs, "--", "sh", "-c",
                      "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done; exit 9")
    rig.wait_event("start", rig.id("a"))
    rig.crash_point()
    out, err = child.communicate(timeout=30)
    check_equal(out, b"1\n2\n3\n4\n5\n", f"stdout ({err})")
    check_equal(child.returncode, 9, "exit code")


def test_create_start_wait_remove(rig):
    a = rig.id("a")
    rig.ok("create", "--name", a, "--rootfs", rig.rootfs, "--", "sh", "-c", "exit 7")
    check_equal(rig.state_of(a), "created", "state")
    rig.crash_point()
    check_equal(rig.state_of(a), "created", "state after the crash point")
    rig.ok("start", a)
    check_equal(rig.ok("wait", a).out, "7\n", "wait")
    check_equal(rig.state_of(a), "stopped", "state")
    rig.ok("rm", a)
    check_equal(rig.state_of(a), None, "state after rm")
    check_equal(rig.ok("wait", a).out, "7\n", "wait after rm")
    types = [e["type"] for e in rig.events(container=a)]
    check_equal([t for t in types if t != "restored"], ["create", "start", "exit", "delete"],
                "events")


def test_exit_codes(rig):
    for code in (0, 1, 7, 255):
        a = rig.id(f"c{code}")
        rig.run(a, "sh", "-c", f"exit {code}")
        if code == 1:
            rig.crash_point()
        check_equal(rig.ok("wait", a).out, f"{code}\n", "wait")
        exit_event = rig.wait_event("exit", a)
        check_equal((exit_event["exit_code"], exit_event["signal"]), (code, 0), "exit event")


def test_a_signal_has_no_exit_code(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "sleep 1000")
    rig.crash_point()
    rig.ok("kill", a)
    check_equal(rig.ok("wait", a).out, "137\n", "wait")
    e = rig.wait_event("exit", a)
    check_equal((e["exit_code"], e["signal"], e["oom"]), (None, 9, False), "exit event")


def test_foreground_codes_of_signals(rig):
    child = rig.spawn("run", "--name", rig.id("a"), "--rootfs", rig.rootfs, "--", "sleep", "1000")
    rig.wait_event("start", rig.id("a"))
    rig.crash_point()
    rig.ok("kill", rig.id("a"))
    child.communicate(timeout=30)
    check_equal(child.returncode, 137, "exit code")


def test_not_found_is_127_and_not_executable_126(rig):
    done = rig.gantry("run", "--name", rig.id("a"), "--rootfs", rig.rootfs, "--", "/nowhere")
    check_equal(done.code, 127, f"exit code of {done!r}")
    check("nowhere" in done.err, f"the command is named: {done.err}")
    done = rig.gantry("run", "--name", rig.id("b"), "--rootfs", rig.rootfs, "--", "/etc")
    check_equal(done.code, 126, f"exit code of {done!r}")
    check_equal(rig.state_of(rig.id("a")), None, "nothing is left")
    check_equal(rig.state_of(rig.id("b")), None, "nothing is left")


def test_rm_when_it_ends(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "sleep 0.3; exit 3", options=("--rm",))
    rig.crash_point()
    check_equal(rig.ok("wait", a).out, "3\n", "wait")
    until(lambda: rig.state_of(a) is None, "it goes by itself")
    rig.wait_event("delete", a)


def test_rm_refuses_the_living_and_force_does_not(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    done = rig.gantry("rm", a)
    check(done.code == 1 or done.code == 125, f"refused: {done!r}")
    check("force" in done.err or "-f" in done.err, f"the cure is named: {done.err}")
    check_equal(rig.state_of(a), "running", "state")
    rig.ok("rm", "-f", a)
    check_equal(rig.ok("wait", a).out, "137\n", "wait after rm -f")
    e = rig.wait_event("exit", a)
    cause = [x for x in rig.events() if x["seq"] == e["cause"]]
    check(cause and cause[0]["type"] == "kill", f"the exit's cause is a kill: {e}, {cause}")


def test_started_again_it_is_run_two(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "echo one more; exit 4")
    check_equal(rig.ok("wait", a).out, "4\n", "wait")
    rig.ok("start", a)
    rig.crash_point()
    until(lambda: len(rig.events("exit", container=a)) == 2, "the second exit")
    exits = rig.events("exit", container=a)
    check_equal([(e["run"], e["exit_code"]) for e in exits], [(1, 4), (2, 4)], "exits")
    check_equal(exits[0]["instance"], exits[1]["instance"], "instance")
    rig.ok("rm", a)
    rig.run(a, "true")
    check(rig.wait_event("delete", a)["instance"] < rig.show(a)["instance"], "a new instance")


def test_a_name_is_taken_only_once(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    done = rig.gantry("run", "-d", "--name", a, "--rootfs", rig.rootfs, "--", "true")
    check_equal(done.code, 125, f"exit code of {done!r}")
    check(a in done.err, f"the name is named: {done.err}")
    check_equal(rig.state_of(a), "running", "the first one lives")


def test_namespaces_do_not_see_each_other(rig):
    a = rig.id("a")
    for ns in ("red", "blue"):
        rig.ok("-n", ns, "run", "-d", "--name", a, "--rootfs", rig.rootfs, "--", "sleep", "1000")
    rig.crash_point()
    check_equal([c["namespace"] for c in rig.ok("-n", "red", "--json", "ps").objects()], ["red"],
                "ps of red")
    check(rig.gantry("inspect", a).code != 0, "not in the default namespace")
    both = [c["namespace"] for c in rig.ok("--json", "ps", "-A").objects() if c["id"] == a]
    check_equal(sorted(both), ["blue", "red"], "ps -A")
    rig.ok("-n", "red", "kill", a)
    rig.ok("-n", "red", "wait", a)
    check_equal(rig.ok("-n", "blue", "--json", "inspect", a).objects()[0]["state"], "running",
                "blue lives")


def test_ps_and_inspect_shapes(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000", options=("-l", "role=web", "-e", "A=b", "-m", "64m", "--cpus",
                                         "0.5", "--pids-limit", "50", "-w", "/tmp"))
    rig.crash_point()
    c = [x for x in rig.ok("--json", "ps").objects() if x["id"] == a][0]
    for key in ("namespace", "id", "instance", "run", "state", "pid", "command", "labels",
                "created_at", "started_at", "exit", "execs", "runtime"):
        check(key in c, f"ps has {key}: {c}")
    check_equal((c["state"], c["run"], c["labels"]), ("running", 1, {"role": "web"}), "ps")
    d = rig.show(a)
    check_equal(d["spec"]["resources"]["memory_bytes"], 64 << 20, "memory")
    check_equal(d["spec"]["resources"]["nano_cpus"], 500000000, "cpus")
    check_equal(d["spec"]["env"], ["A=b"], "env")
    check_equal(d["config"]["process"]["cwd"], "/tmp", "workdir in config.json")
    check_equal([p["id"] for p in d["processes"]], ["init"], "processes")
    check_equal(rig.ok("ps", "-q").out.split().count(a), 1, "ps -q")


def test_environment_workdir_user_hostname(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "echo $A; pwd; id -u; id -g; hostname",
            options=("-e", "A=b c", "-w", "/tmp", "-u", "12:34", "--hostname", "abc"))
    rig.crash_point()
    rig.ok("wait", a)
    check_equal(rig.ok("logs", a).out, "b c\n/tmp\n12\n34\nabc\n", "what it sees")


def test_read_only(rig):
    done = rig.gantry("run", "--rm", "--read-only", "--rootfs", rig.rootfs, "--", "touch", "/x")
    check_equal(done.code, 1, f"exit code of {done!r}")
    check("Read-only" in done.err, done.err)


def test_labels_in_events_and_filters(rig):
    a, b = rig.id("a"), rig.id("b")
    rig.run(a, "true", options=("-l", "team=x"))
    rig.run(b, "true", options=("-l", "team=y"))
    rig.crash_point()
    rig.ok("wait", a, b)
    found = rig.ok("--json", "events", "--since", "0", "--filter", "label=team=x").objects()
    check({e["container"] for e in found} == {a}, f"only {a}: {found}")
    check("exit" in {e["type"] for e in found}, "its exit is there")
