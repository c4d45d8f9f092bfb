"""gantry's figures, each beside its floor or the bare runtime, in the same run."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time

import harness
import probes
from harness import NotMeasured, median, spread


def beside(text, x):
    return f"{text} {x['median']:.3f} (p90 {x['p90']:.3f}, p99 {x['p99']:.3f})"


def exit_event(b):
    with b.supervisor() as r:
        got = b.driver("exit", socket=r.socket, rootfs=r.rootfs, count=b.n(90, 12),
                       floor=os.path.join(b.tools, "bench_floor"))
    ours, floor = spread(got["gantry_ns"]), spread(got["floor_ns"])
    b.deed(harness.EXIT, "floor", got["floor_ns"])
    b.deed(harness.EXIT, "gantry", got["gantry_ns"])
    ratio = ours["median"] / floor["median"]
    b.row("exit", "SIGKILL of init to the exit event at a client, median", ours["median"], "ms",
          beside("C loop, five new namespaces:", floor), raw=got)
    b.row("exit", "the same, p90", ours["p90"], "ms")
    b.row("exit", "the same, p99", ours["p99"], "ms")
    b.row("exit", "times the floor (median)", ratio, "x", "", "≤ 2", ratio <= 2)
    dead = spread(got["dead_ns"])
    b.row("exit", "of that, until the kernel says so (pidfd of a runc init), median",
          dead["median"], "ms", "its mounts, cgroups and seccomp end too, which the C loop has not")
    b.row("exit", "times the floor (p90)", ours["p90"] / floor["p90"], "x")


def loud(b):
    with b.supervisor() as r:
        got = b.driver("loud", socket=r.socket, rootfs=r.rootfs, count=b.n(100, 15),
                       floor=os.path.join(b.tools, "bench_floor"))
    floor = spread(got["floor_ns"])
    ours, ps = spread(got["gantry_ns"]), spread(got["list_ns"])
    b.row("exit", "four containers log at full speed: exit event, median", ours["median"], "ms",
          beside("C loop under the same load:", floor))
    b.row("exit", "the same, p99", ours["p99"], "ms", "", "≤ 5", ours["p99"] <= 5, raw=got)
    own = spread(got["own_ns"])
    b.row("exit", "the same: from the kernel's word (pidfd) to the event, median", own["median"],
          "ms", f"p90 {own['p90']:.3f}")
    b.row("exit", "the same: from the kernel's word (pidfd) to the event, p99", own["p99"], "ms")
    b.row("exit", "the same: ps, median", ps["median"], "ms")
    b.row("exit", "the same: ps, p99", ps["p99"], "ms", "", "≤ 10", ps["p99"] <= 10)


def restart(b):
    targets = {1: 30, 200: 70}
    for count in (1, b.n(200, 20)):
        with b.supervisor() as r:
            b.driver("fill", socket=r.socket, rootfs=r.rootfs, count=count)
            got = b.driver("restart", socket=r.socket, count=count, kills=b.n(15, 5))
            r.crashes += b.n(15, 5)
        x = spread(got["gantry_ns"])
        target = targets.get(count)
        name = f"kill -9 to a ps that lists all {count}" if count > 1 else \
            "kill -9 to a ps that lists the one"
        b.row("restart", name, x["median"], "ms", f"p90 {x['p90']:.1f}, p99 {x['p99']:.1f}",
              f"≤ {target}" if target else "", x["median"] <= target if target else None, raw=got)


def one_shot(b):
    with b.supervisor() as r:
        got = b.driver("one-shot", socket=r.socket, rootfs=r.rootfs, count=b.n(40, 10),
                       parallel=b.n(120, 24))
    done, bare = spread(got["deleted_ns"]), spread(got["bare_commands_ns"])
    reply, ended = spread(got["reply_ns"]), spread(got["exit_ns"])
    b.raw.setdefault("one-shot", {})["samples"] = got
    b.deed(harness.ONE_SHOT, "floor", got["bare_commands_ns"])
    b.deed(harness.ONE_SHOT, "gantry", got["deleted_ns"])
    b.row("one-shot", "Create with start and removal of /bin/true, until deleted", done["median"],
          "ms", beside("bare runc run -d + delete:", bare))
    b.row("one-shot", "the same, p90", done["p90"], "ms")
    b.row("one-shot", "the same, until the reply", reply["median"], "ms")
    b.row("one-shot", "the same, until the exit event", ended["median"], "ms")
    own = done["median"] - bare["median"]
    b.row("one-shot", "gantry's own share (median − median of the commands)", own, "ms", "",
          "≤ 3", own <= 3)
    rate = got["parallel"] / (got["gantry_parallel_ns"] / 1e9)
    bare_rate = got["parallel"] / (got["bare_parallel_ns"] / 1e9)
    b.row("one-shot", "four at a time", rate, "/s", f"bare runc run: {bare_rate:.1f} /s", "≥ 35",
          rate >= 35)
    b.row("one-shot", "four at a time, share of the bare runtime", rate / bare_rate, "x")
    return done["median"]


def exec_true(b):
    with b.supervisor() as r:
        got = b.driver("exec", socket=r.socket, rootfs=r.rootfs, count=b.n(60, 12))
    ours, bare = spread(got["exit_ns"]), spread(got["bare_ns"])
    b.deed(harness.EXEC, "floor", got["bare_ns"])
    b.deed(harness.EXEC, "gantry", got["exit_ns"])
    more = ours["median"] - bare["median"]
    b.row("exec", "Exec of /bin/true to its exit event", ours["median"], "ms",
          beside("bare runc exec -d:", bare), raw=got)
    b.row("exec", "the same, p90", ours["p90"], "ms")
    b.row("exec", "above the bare runtime (median)", more, "ms", "", "≤ 1", more <= 1)


def embedded(b):
    """A supervisor inside a program, by the public interface."""
    work = tempfile.mkdtemp(prefix="gantry-bench-embedded-", dir="/run")
    parent = os.path.basename(work)
    try:
        root = harness.rig.make_rootfs(os.path.join(work, "rootfs"))
        done = subprocess.run([os.path.join(b.tools, "bench_embedded"), work, root, parent,
                               str(b.n(60, 8))], capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise NotMeasured(f"bench_embedded: {done.stderr.strip()[-400:]}")
        got = json.loads(done.stdout)
    finally:
        harness.remove_groups(parent)
        shutil.rmtree(work, ignore_errors=True)
    for what, key, name in ((harness.ONE_SHOT, "one_shot_ns", "one-shot"),
                            (harness.EXEC, "exec_ns", "exec of /bin/true"),
                            (harness.EXIT, "exit_ns", "SIGKILL of init to the event")):
        b.deed(what, "embedded", got[key])
        x = spread(got[key])
        b.row("embedded", f"inside a program: {name}, median", x["median"], "ms",
              f"p90 {x['p90']:.3f}, p99 {x['p99']:.3f}", raw={"samples": got[key]})


def growth(b):
    """Memory of gantryd and keeper with more and more idle containers."""
    points = {}
    with b.supervisor() as r:
        warm_up(b, r)
        points[0] = harness.settled_pss(people(r)) / 1024
        for count in b.n((10, 25, 50, 100), (3, 6)):
            b.driver("fill", socket=r.socket, rootfs=r.rootfs, count=count)
            points[count] = harness.settled_pss(people(r)) / 1024
            b.driver("clear", socket=r.socket)
    b.memory["gantry"] = points
    most = max(points)
    b.row("memory", f"PSS of gantryd and keeper with {most} idle containers", points[most], "MiB",
          f"empty {points[0]:.1f}")


def people(r):
    return r.pid(), r.daemon.pid


def warm_up(b, r):
    """Touches the code and the buffers that all containers share."""
    for _ in range(3):
        b.driver("fill", socket=r.socket, rootfs=r.rootfs, count=4)
        b.driver("list", socket=r.socket, count=4, samples=3)
        b.driver("clear", socket=r.socket)
    time.sleep(15)


def idle_per_container(b, r, count, label, machine=True):
    """Memory, descriptors and threads of `count` sleeping containers, above an empty daemon."""
    gantryd, keeper = people(r)
    before = {"pss": harness.settled_pss((gantryd, keeper)), "fds": harness.fds(gantryd),
              "keeper_fds": harness.fds(keeper), "threads": harness.threads(gantryd),
              "available": harness.available_kib()}
    b.driver("fill", socket=r.socket, rootfs=r.rootfs, count=count)
    time.sleep(3)
    pss = harness.settled_pss((gantryd, keeper))
    per = (pss - before["pss"]) / count
    b.row("memory", f"PSS of gantryd, keeper and arena per idle container, {label}", per, "KiB",
          f"{before['pss']} KiB empty, {pss} KiB with them", "≤ 24", per <= 24)
    of_gantryd = (harness.fds(gantryd) - before["fds"]) / count
    of_keeper = (harness.fds(keeper) - before["keeper_fds"]) / count
    b.row("memory", f"fds per idle container in gantryd, {label}", of_gantryd, "", "", "≤ 7",
          of_gantryd <= 7.05)
    b.row("memory", f"fds per idle container in the keeper, {label}", of_keeper, "", "", "≤ 3",
          of_keeper <= 3.05)
    now = harness.threads(gantryd)
    b.row("memory", f"threads of gantryd, {label}", now, "",
          f"{before['threads']} empty; {len(harness.tasks(gantryd, workers=True))} workers of the "
          "kernel for its ring", "constant", now == before["threads"])
    if machine:
        whole = (before["available"] - harness.available_kib()) / count
        b.row("memory", f"the machine's memory per container (MemAvailable), {label}", whole, "KiB")


def memory(b):
    with b.supervisor() as r:
        gantryd, keeper = people(r)
        time.sleep(2)
        rss = harness.smaps_kib(gantryd, "Rss") / 1024
        b.row("memory", "empty daemon, RSS", rss, "MiB", "", "≤ 12", rss <= 12)
        pss = harness.smaps_kib(keeper, "Pss")
        b.row("memory", "keeper, PSS", pss, "KiB",
              f"RSS {harness.smaps_kib(keeper, 'Rss')} KiB", "≤ 600",
              pss <= 600)
        warm_up(b, r)
        idle_per_container(b, r, b.n(100, 10), f"{b.n(100, 10)} real ones")
        quiet(b, r, b.n(30, 5), f"{b.n(100, 10)} idle")


def quiet(b, r, seconds, label):
    """What an idle daemon does: nothing."""
    gantryd, keeper = people(r)
    time.sleep(15)  # What was begun comes to its end: idle log files are closed after 10 s.
    woken, kept = harness.wakeups(gantryd), harness.wakeups(keeper)
    workers = harness.wakeups(gantryd, workers=True)
    cpu = harness.cpu_seconds(gantryd)
    time.sleep(seconds)
    woken, kept = harness.wakeups(gantryd) - woken, harness.wakeups(keeper) - kept
    workers = harness.wakeups(gantryd, workers=True) - workers
    share = (harness.cpu_seconds(gantryd) - cpu) / seconds * 100
    b.row("memory", f"wake-ups of gantryd in {seconds} s, {label}", woken, "",
          f"the kernel's idle workers of its ring: {workers} (every 5 s)", "0", woken == 0)
    b.row("memory", f"wake-ups of the keeper in {seconds} s, {label}", kept, "", "", "0", kept == 0)
    b.row("memory", f"CPU of gantryd in {seconds} s, {label}", share, "%", "", "< 0.1", share < 0.1)


def thousand(b):
    count = b.n(1000, 100)
    stub = os.path.join(b.tools, "bench_stub_runtime")
    with b.supervisor("--runtime", stub) as r:
        warm_up(b, r)
        idle_per_container(b, r, count, f"{count} of a stub runtime", machine=False)
        quiet(b, r, b.n(30, 5), f"{count} idle")
        got = b.driver("list", socket=r.socket, count=count, samples=b.n(100, 20))
        ours, fresh = spread(got["open_ns"]), spread(got["fresh_ns"])
        b.row("memory", f"ps of {count}, open connection, median", ours["median"], "ms",
              f"p99 {ours['p99']:.2f}; fresh connection {fresh['median']:.2f}, "
              f"p99 {fresh['p99']:.2f}", "≤ 10", ours["median"] <= 10, raw=got)


def log(b):
    size = b.n(1 << 30, 128 << 20)
    with b.supervisor() as r:
        for block, form, name, target, most in (
                (65500, "json-file", "64 KiB blocks", 500, 2),
                (100, "json-file", "one write per line", 190, None),
                (65500, "cri", "64 KiB blocks, cri", 700, 1.5),
                (65500, "raw", "64 KiB blocks, raw", 1100, 0.9)):
            runs = [b.driver("log", socket=r.socket, rootfs=r.rootfs, bytes=size, block=block,
                             format=form, pid=r.pid()) for _ in range(b.n(3, 1))]
            rate = median([x["bytes"] / x["wall_ns"] * 1000 for x in runs])
            cpu = median([x["cpu_ns"] / x["bytes"] for x in runs])
            b.row("log", f"{size >> 20} MiB of 100-byte lines, {name}", rate, "MB/s",
                  f"{runs[0]['lines']} lines, every one compared; runs: "
                  + ", ".join(f"{x['bytes'] / x['wall_ns'] * 1000:.0f}" for x in runs),
                  f"≥ {target}", rate >= target, raw={name: runs})
            b.row("log", f"the same, CPU of gantryd, {name}", cpu, "s/GB", "",
                  f"≤ {most}" if most else "", cpu <= most if most else None)


def attach(b):
    size = b.n(1 << 30, 128 << 20)
    with b.supervisor() as r:
        got = b.driver("echo", socket=r.socket, rootfs=r.rootfs, count=b.n(600, 100),
                       gantry=os.path.join(r.bin_dir, "gantry"))
        x = spread(got["echo_ns"])
        b.row("attach", "key to echo through gantry exec -it on cat, median", x["median"], "ms",
              f"p90 {x['p90']:.3f}, p99 {x['p99']:.3f}", "< 0.3", x["median"] < 0.3, raw=got)
        rates = {}
        for watched in (0, 4):
            runs = [b.driver("log", socket=r.socket, rootfs=r.rootfs, bytes=size, block=65500,
                             pid=r.pid(), followers=watched) for _ in range(b.n(3, 1))]
            rates[watched] = median([x["bytes"] / x["wall_ns"] * 1000 for x in runs])
        left = rates[4] / rates[0]
        total = runs[-1]["followed"] + runs[-1]["left_out"]
        b.row("attach", f"{size >> 20} MiB with four attached followers", rates[4], "MB/s",
              f"without: {rates[0]:.0f}; they took {runs[-1]['followed'] / total * 100:.0f} % of "
              "it and were told of the rest", raw={"followed": runs})
        b.row("attach", "share of the rate that is left", left, "x", "", "≥ 0.7", left >= 0.7)


def calls(b):
    """Unary calls to gantryd itself, one container there."""
    with b.supervisor() as r:
        r.run("c0", "sleep", "100000")
        got = b.driver("calls", socket=r.socket, count=b.n(20000, 1000), pid=r.pid(),
                       seconds=b.n(10, 2))
    x = spread(got["call_ns"])
    middle, bare = x["median"] * 1e3, spread(got["bare_ns"])["median"] * 1e3
    b.row("calls", "a unary call (list) of a C++ client, median", middle, "us",
          f"p90 {x['p90'] * 1e3:.1f}, p99 {x['p99'] * 1e3:.1f}; 64 bytes there and back of "
          f"two processes: {bare:.1f}", "< 60", middle < 60, raw=got)
    share = got["cpu_ns"] / got["wall_ns"] * 100
    rate = got["calls"] / got["wall_ns"] * 1e9
    b.row("calls", "1,000 calls a second: gantryd's share of a core", share, "%",
          f"{rate:.0f}/s, {got['cpu_ns'] / got['calls'] / 1e3:.1f} us each", "≤ 5", share <= 5)


def simulation(b):
    program = os.path.join(b.build, "tests", "sim", "lives", "sim_lives_test")
    if not os.path.exists(program):
        raise NotMeasured("sim_lives_test is not built")
    done = subprocess.run([program, "[sim]"], capture_output=True, text=True, timeout=900)
    rates = re.findall(r"^(.+?): (\d+) containers, (\d+) kills.*? ([\d.]+) lifecycles a second",
                       done.stdout, re.M)
    if not rates or done.returncode != 0:
        raise NotMeasured(f"the simulation failed: {done.stdout[-300:]}{done.stderr[-300:]}")
    for name, containers, kills, rate in rates:
        value = float(rate)
        b.row("simulation", f"{name} ({containers} containers, {kills} kills)", value, "/s", "",
              "≥ 1000", value >= 1000)


FIGURES = {"exit": exit_event, "loud": loud, "restart": restart, "one-shot": one_shot,
           "exec": exec_true, "embedded": embedded, "growth": growth, "memory": memory,
           "thousand": thousand, "log": log, "attach": attach, "calls": calls,
           "simulation": simulation,
           **probes.FIGURES}
