"""What a container sees and may do, looked at from the inside: mounts, capabilities, devices,
sysctls, limits, confinement, cgroups."""

import array
import json
import os
import socket
import subprocess
import threading

from rig import check, check_equal, read_text, until

# What gantryd has itself, and so can give: the 41 of capabilities(7) at most.
OURS = int(read_text("/proc/self/status").split("CapBnd:")[1].split()[0], 16) & (1 << 41) - 1
# Devices that no container has by default, and that any root may open.
SPARE = [d for d in ("/dev/fuse", "/dev/loop-control", "/dev/autofs", "/dev/net/tun",
                     "/dev/btrfs-control") if os.path.exists(d)]
V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")


def inside(rig, name, script, *options):
    """What a script says in a container that gantryd lost sight of in the meantime."""
    a = rig.id(name)
    rig.run(a, "sh", "-c", script, options=options)
    rig.crash_point()
    code = rig.ok("wait", a).out.strip()
    answer = rig.ok("logs", a)
    check_equal(code, "0", f"exit code ({answer.out}{answer.err})")
    return answer.out


def status_of(text):
    return {k: v.strip() for k, _, v in (line.partition(":") for line in text.splitlines())}


def refused(rig, words, *options, command=("true",)):
    a = rig.id("bad")
    done = rig.gantry("run", "-d", "--name", a, *options, "--rootfs", rig.rootfs, "--", *command)
    check_equal(done.code, 125, f"exit code of {done!r}")
    check_equal(done.err.count("\n"), 1, f"lines of {done.err!r}")
    for word in words:
        check(word in done.err, f"{word!r} in {done.err!r}")
    check_equal(rig.state_of(a), None, "nothing is left")


def mounts_in(text):
    """Target → (options, type) of /proc/self/mountinfo; the last one at a target counts."""
    found = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        words = left.split()
        if len(words) > 5:
            found[words[4]] = (words[5].split(","), right.split()[0], words[6:], right)
    return found


# ---- mounts --------------------------------------------------------------------------------

def test_mounts(rig):
    host = rig.path("host")
    os.makedirs(os.path.join(host, "sub"))
    with open(os.path.join(host, "file"), "w") as f:
        f.write("from the host\n")
    text = inside(
        rig, "a", "cat /data/file && echo written >/data/sub/new && ! touch /ro/x 2>/dev/null &&"
        " touch /t/x && cat /proc/self/mountinfo",
        "-v", f"{host}:/data", "-v", f"{host}:/ro:ro,rslave", "--tmpfs", "/t:size=1m,exec",
        "--mount", "type=tmpfs,target=/u,tmpfs-mode=700,readonly", "--shm-size", "2m",
        "--mount", f"type=bind,source={host}/file,target=/one,readonly")
    check(text.startswith("from the host\n"), text)
    check_equal(read_text(os.path.join(host, "sub/new")), "written\n", "what was written outside")
    found = mounts_in(text)
    check("rw" in found["/data"][0], f"/data: {found['/data']}")
    check("ro" in found["/ro"][0] and "ro" in found["/one"][0], f"read-only: {found['/ro']}")
    options, kind, _, right = found["/t"]
    check(kind == "tmpfs" and "nosuid" in options and "noexec" not in options, f"/t: {options}")
    check("size=1024k" in right, f"size of /t: {right}")
    check("ro" in found["/u"][0] and "mode=700" in found["/u"][3], f"/u: {found['/u']}")
    check("size=2048k" in found["/dev/shm"][3], f"/dev/shm: {found['/dev/shm']}")
    spec = rig.show(rig.id("a"))["spec"]["isolation"]
    check_equal([m["target"] for m in spec["mounts"]], ["/data", "/ro", "/u", "/one", "/t"],
                "targets in inspect")


def test_a_read_only_root(rig):
    text = inside(rig, "a", "! touch /x 2>/dev/null && touch /tmp/x &&"
                  " grep ' / ' /proc/self/mountinfo", "--read-only", "--tmpfs", "/tmp")
    check("ro," in text, text)


def test_mounts_that_cannot_be(rig):
    missing = rig.path("missing")
    refused(rig, [missing, "does not exist", "mkdir -p"], "-v", f"{missing}:/data")
    refused(rig, ["--volume", "no volumes", "-v /srv/data:/data"], "-v", "data:/data")
    refused(rig, ["two of them are at /t"], "--tmpfs", "/t", "--tmpfs", "/t/")
    rig.crash_point()
    refused(rig, ["/proc"], "-v", "/tmp:/proc/1")
    refused(rig, ["size=1", "mount(8)"], "-v", "/tmp:/x:size=1")


# ---- capabilities and confinement ------------------------------------------------------------

def test_capabilities(rig):
    look = "cat /proc/self/status"
    plain = status_of(inside(rig, "plain", look))
    check_equal((plain["CapEff"], plain["NoNewPrivs"], plain["Seccomp"]),
                ("00000000a80425fb", "1", "2"), "the defaults")
    none = status_of(inside(rig, "none", look, "--cap-drop", "ALL"))
    check_equal(none["CapBnd"], "0" * 16, "CapBnd without any")
    one = status_of(inside(rig, "one", look, "--cap-drop=all", "--cap-add", "net_admin"))
    check_equal(one["CapEff"], "0000000000001000", "CapEff with one")
    most = status_of(inside(rig, "most", look, "--cap-add", "ALL", "--cap-drop", "SYS_ADMIN"))
    check_equal(int(most["CapBnd"], 16), OURS - (OURS & 1 << 21), "CapBnd with all but one")
    refused(rig, ["cap_add", "FLY", "capabilities(7)"], "--cap-add", "FLY")
    refused(rig, ["both in cap_add and in cap_drop"], "--cap-add", "KILL", "--cap-drop", "CAP_KILL")


def test_privileged(rig):
    text = inside(rig, "a", "cat /proc/self/status; ls /dev; cat /proc/self/mountinfo;"
                  " mount -t tmpfs none /tmp && echo mounted;"
                  f" : <{SPARE[0]} && echo opened", "--privileged")
    status = status_of(text)
    check_equal(int(status["CapEff"], 16), OURS, "CapEff")
    check_equal((status["NoNewPrivs"], status["Seccomp"]), ("0", "0"), "confinement")
    check("mounted" in text and "opened" in text, text)
    for name in os.listdir("/dev"):
        path = os.path.join("/dev", name)
        if name != "console" and not os.path.islink(path) and not os.path.isdir(path):
            check(f"\n{name}\n" in text, f"{name} is in the container's /dev")
    found = mounts_in(text)
    check("rw" in found["/sys"][0], f"/sys: {found['/sys']}")
    check("/proc/sys" not in found and "/proc/kcore" not in found, "nothing is masked")
    refused(rig, ["privileged", "cap_drop", "contradict"], "--privileged", "--cap-drop", "ALL")


def test_security_options(rig):
    look = "cat /proc/self/status; cat /proc/self/mountinfo"
    text = inside(rig, "a", look, "--security-opt", "no-new-privileges=false", "--security-opt",
                  "seccomp=unconfined", "--security-opt", "systempaths=unconfined",
                  "--security-opt", "writable-cgroups", "--security-opt", "label=disable")
    status, found = status_of(text), mounts_in(text)
    check_equal((status["NoNewPrivs"], status["Seccomp"]), ("0", "0"), "confinement")
    check("/proc/kcore" not in found, "nothing is masked")
    check(any(t.startswith("/sys/fs/cgroup") and "rw" in x[0] for t, x in found.items()),
          "the cgroups can be written")
    for option, words in (("apparmor=web", ["no AppArmor"]), ("seccomp=/nowhere", ["/nowhere"]),
                          ("label=type:x", ["is unknown"])):
        if "apparmor" not in option or not os.path.exists("/sys/module/apparmor"):
            refused(rig, words, "--security-opt", option)


def test_a_seccomp_profile(rig):
    path = rig.path("profile.json")
    rules = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
             {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "excludes":
              {"caps": ["CAP_SYS_ADMIN"]}}]
    with open(path, "w") as f:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "archMap":
                   [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}],
                   "syscalls": rules}, f)
    text = inside(rig, "a", "mkdir /tmp/x 2>&1; hostname y 2>&1; grep Seccomp: /proc/self/status",
                  "--security-opt", f"seccomp={path}")
    check("No space left" in text, f"what the profile says: {text}")
    check("Operation not permitted" in text and "Seccomp:\t2" in text, text)
    with open(path, "w") as f:
        f.write('{"defaultAction": "SCMP_ACT_MAYBE"}')
    refused(rig, ["security.seccomp", "defaultAction"], "--security-opt", f"seccomp={path}")


def receive_fd(server, into):
    """The agent's part: one descriptor of seccomp's, with the container's state."""
    with server:
        peer, _ = server.accept()
        with peer:
            fds = array.array("i")
            data, control, _, _ = peer.recvmsg(65536, socket.CMSG_LEN(16))
            for level, kind, payload in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(payload[:len(payload) - len(payload) % 4])
            into.append((list(fds), data))


def test_a_seccomp_agent_is_asked(rig):
    path, agent = rig.path("ask.json"), rig.path("agent.sock")
    with open(path, "w") as f:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
                   [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]}, f)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(agent)
    server.listen(1)
    got = []
    thread = threading.Thread(target=receive_fd, args=(server, got), daemon=True)
    thread.start()
    a = rig.id("a")
    rig.run(a, "sh", "-c", "mkdir /tmp/asked; echo $?", options=(
        "--security-opt", f"seccomp={path}", "--security-opt", f"seccomp-agent={agent}"))
    rig.crash_point()
    thread.join(30)
    check(got and got[0][0], "the agent got a descriptor")
    state = json.loads(got[0][1])
    check_equal(state["state"]["id"].split(".", 1)[1], a, "whose it is")
    for fd in got[0][0]:
        os.close(fd)  # No agent any more: the call fails with ENOSYS.
    check_equal(rig.ok("wait", a).out, "0\n", "wait")
    check_equal(rig.ok("logs", a).lines()[-1], "1", "mkdir fails without its agent")
    refused(rig, ["no agent"], "--security-opt", f"seccomp={path}")


# ---- devices, sysctls, limits ------------------------------------------------------------------

def test_devices(rig):
    text = inside(rig, "a", f": <{SPARE[0]} && echo opened; : </dev/inside && echo inside;"
                  f" (: >/dev/inside) 2>&1; [ -e {SPARE[1]} ] || echo without",
                  "--device", SPARE[0], "--device", f"{SPARE[1]}:/dev/inside:r")
    for word in ("opened", "inside", "not permitted", "without"):
        check(word in text, f"{word}: {text}")
    refused(rig, ["/dev/nothing", "does not exist"], "--device", "/dev/nothing")
    refused(rig, ["/etc/passwd", "below /dev"], "--device", "/etc/passwd")
    refused(rig, ["/dev/null/x", "does not exist"], "--device", "/dev/null/x")


def test_sysctls(rig):
    text = inside(rig, "a", "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmni",
                  "--sysctl", "net.core.somaxconn=77", "--sysctl", "kernel.shmmni=99")
    check_equal(text, "77\n99\n", "what the container reads")
    refused(rig, ["kernel.panic", "the host's"], "--sysctl", "kernel.panic=1")
    refused(rig, ["network host"], "--network", "host", "--sysctl", "net.core.somaxconn=77")


def test_the_network_of_the_host(rig):
    ours = os.readlink("/proc/self/ns/net")
    for network, same in (("host", True), ("none", False)):
        text = inside(rig, "net-" + network, "readlink /proc/self/ns/net", "--network", network)
        check_equal(text.strip() == ours, same, f"{network}: {text}")


def test_annotations(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000", options=("--annotation", "org.example.team=payments"))
    rig.crash_point()
    check_equal(rig.show(a)["config"]["annotations"]["org.example.team"], "payments",
                "in config.json")


def test_process_limits(rig):
    text = inside(rig, "a", "cat /proc/self/limits /proc/self/oom_score_adj; id -G", "--ulimit",
                  "nofile=77:88", "--ulimit", "core=0", "--oom-score-adj", "123", "-u", "7:8",
                  "--group-add", "44")
    rows = {line[:25].strip(): line[25:].split() for line in text.splitlines()}
    check_equal(rows["Max open files"][:2], ["77", "88"], "nofile")
    check_equal(rows["Max core file size"][:2], ["0", "0"], "core")
    check("123" in text.splitlines(), text)
    check_equal(text.splitlines()[-1].split(), ["8", "44"], "groups")
    refused(rig, ["--ulimit", "above the hard one"], "--ulimit", "nofile=2:1")


def a_disk():
    out = subprocess.run(["lsblk", "-ndo", "NAME,TYPE"], capture_output=True, text=True).stdout
    return next(("/dev/" + name for name, kind in map(str.split, out.splitlines())
                 if kind == "disk"), None)


def test_resources(rig):
    disk = a_disk()
    rates = ("--device-read-bps", f"{disk}:1m", "--device-write-iops", f"{disk}:50") if disk else ()
    a = rig.id("a")
    rig.run(a, "sleep", "1000", options=(
        "--cpu-quota", "50000", "--cpu-period", "200000", "--cpuset-cpus", "0", "--cpuset-mems",
        "0", "--pids-limit", "33", "--memory-reservation", "16m", "-m", "32m", *rates))
    rig.crash_point()
    def read(*where):
        return read_text(rig.cgroup_file(*where))
    if V2:
        check_equal(read(a, "cpu", "cpu.max").strip(), "50000 200000", "cpu.max")
        check(not disk or "rbps=1048576" in read(a, "io", "io.max"), "io.max")
    else:
        check_equal(read(a, "cpu", "cpu.cfs_quota_us").strip(), "50000", "quota")
        check_equal(read(a, "cpu", "cpu.cfs_period_us").strip(), "200000", "period")
        check_equal(read(a, "memory", "memory.soft_limit_in_bytes").strip(), str(16 << 20), "low")
        if disk:
            check("1048576" in read(a, "blkio", "blkio.throttle.read_bps_device"), "read rate")
            check("50" in read(a, "blkio", "blkio.throttle.write_iops_device"), "write rate")
    check_equal(read(a, "cpuset", "cpuset.cpus").strip(), "0", "cpus")
    check_equal(read(a, "cpuset", "cpuset.mems").strip(), "0", "mems")
    check_equal(read(a, "pids", "pids.max").strip(), "33", "pids")
    seen = rig.ok("exec", a, "--", "grep", "Cpus_allowed_list", "/proc/1/status").out
    check_equal(seen.split()[-1], "0", "what the process sees")
    rig.ok("rm", "-f", a)
    refused(rig, ["is not a block device"], "--device-read-bps", "/dev/null:1m")


def test_a_cgroup_parent(rig):
    parent = f"{rig.cgroup}/tenants/{rig.id('t')}"
    a = rig.id("a")
    rig.run(a, "sleep", "1000", options=("--cgroup-parent", parent))
    rig.crash_point()
    check_equal(rig.show(a)["cgroup"], f"/{parent}/default/{a}", "cgroup in inspect")
    of_init = read_text(f"/proc/{rig.init_pid(a)}/cgroup")
    check(f"/{parent}/default/{a}" in of_init, of_init)
    stats = rig.ok("--json", "stats", a).objects()[0]
    check(stats["pids"] >= 1, f"stats of another parent: {stats}")
    check(any("sleep" in p["command"] for p in rig.ok("--json", "top", a).objects()), "top")
    rig.ok("rm", "-f", a)
    top = "/sys/fs/cgroup" if V2 else "/sys/fs/cgroup/memory"
    check(not os.path.exists(f"{top}/{parent}/default/{a}"), "its own part is gone")
    check(os.path.isdir(f"{top}/{parent}"), "the parent is not gantry's to remove")
    for base in [top] if V2 else [os.path.join("/sys/fs/cgroup", d)
                                  for d in os.listdir("/sys/fs/cgroup")]:
        for path in (f"{parent}/default", parent, f"{rig.cgroup}/tenants"):
            if os.path.isdir(f"{base}/{path}"):
                os.rmdir(f"{base}/{path}")
    refused(rig, ["cgroup_parent"], "--cgroup-parent", "../up")


# ---- environment and entry point ---------------------------------------------------------------

def test_environment_files_and_entrypoint(rig):
    path = rig.path("env")
    with open(path, "w") as f:
        f.write("# what is what\nA=one two\nB=1\nPATH\n\n")
    text = inside(rig, "a", "echo $A; echo $B", "--env-file", path, "-e", "B=2")
    check_equal(text, "one two\n2\n", "variables")
    done = rig.ok("run", "--rm", "--entrypoint", "echo", "--rootfs", rig.rootfs, "hello", "-n")
    check_equal(done.out, "hello -n\n", "the entry point's arguments")
    with open(path, "w") as f:
        f.write("A=1\nno good=2\n")
    refused(rig, ["--env-file", "line 2", "no good"], "--env-file", path)
    refused(rig, ["--env-file", "/nowhere"], "--env-file", "/nowhere")


def test_hooks_of_a_bundle(rig):
    bundle, said = rig.path("bundle"), rig.path("said")
    os.makedirs(bundle)
    subprocess.run(["runc", "spec"], cwd=bundle, check=True)
    with open(os.path.join(bundle, "config.json")) as f:
        config = json.load(f)
    config["process"].update(args=["true"], terminal=False)
    config["root"]["path"] = rig.rootfs
    config["hooks"] = {kind: [{"path": "/bin/sh", "args":
                               ["sh", "-c", f"cat >/dev/null; echo {kind} >>{said}"]}]
                       for kind in ("createRuntime", "poststart", "poststop")}
    with open(os.path.join(bundle, "config.json"), "w") as f:
        json.dump(config, f)
    a = rig.id("a")
    rig.ok("run", "-d", "--name", a, "--bundle", bundle)
    rig.crash_point()
    rig.ok("wait", a)
    rig.ok("rm", a)
    until(lambda: "poststop" in read_text(said), "the last hook has run")
    check_equal(read_text(said).split(), ["createRuntime", "poststart", "poststop"], "hooks")
