"""Bundles of the client: never written to."""

import hashlib
import json
import os
import resource
import shutil
import subprocess

from rig import check, check_equal, until


def make_bundle(rig, name, args=("sh", "-c", "echo from a bundle; exit 12")):
    path = rig.path(name)
    os.makedirs(path)
    subprocess.run(["runc", "spec"], cwd=path, check=True)
    os.symlink("../rootfs", os.path.join(path, "link"))
    shutil.copytree(rig.rootfs, os.path.join(path, "rootfs"), symlinks=True,
                    ignore=shutil.ignore_patterns("test*", "*-*"))
    config = os.path.join(path, "config.json")
    with open(config) as f:
        spec = json.load(f)
    spec["process"]["args"] = list(args)
    spec["process"]["terminal"] = False
    with open(config, "w") as f:
        json.dump(spec, f)
    rig.ends.append(lambda: shutil.rmtree(path, ignore_errors=True))
    return path


def fingerprint(path):
    found = {}
    for top, directories, files in os.walk(path):
        for name in directories + files:
            at = os.path.join(top, name)
            s = os.lstat(at)
            text = b""
            if os.path.isfile(at) and not os.path.islink(at):
                with open(at, "rb") as f:
                    text = hashlib.sha256(f.read()).digest()
            found[at] = (s.st_mode, s.st_uid, s.st_size if text else 0, text)
    return found


def test_a_bundle_runs_and_stays_as_it_is(rig):
    a = rig.id("a")
    bundle = make_bundle(rig, "bundle")
    before = fingerprint(bundle)
    rig.ok("run", "-d", "--name", a, "--bundle", bundle)
    rig.crash_point()
    check_equal(rig.ok("wait", a).out, "12\n", "wait")
    check_equal(rig.ok("logs", a).out, "from a bundle\n", "logs")
    rig.ok("rm", a)
    after = fingerprint(bundle)
    changed = {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)}
    # The mount points that the runtime makes in the root filesystem are not of gantry.
    changed = {k for k in changed if "/rootfs/" not in k and not k.endswith("/rootfs")}
    check_equal(changed, set(), "what changed in the bundle")


def test_a_bundle_without_limits_gets_those_of_the_start(rig):
    a = rig.id("a")
    bundle = make_bundle(rig, "bundle", ("sh", "-c", "ulimit -Sn; ulimit -Hn"))
    config = os.path.join(bundle, "config.json")
    with open(config) as f:
        spec = json.load(f)
    spec["process"].pop("rlimits", None)
    with open(config, "w") as f:
        json.dump(spec, f)
    rig.crash_point()
    rig.ok("run", "-d", "--name", a, "--bundle", bundle)
    rig.ok("wait", a)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    check_equal(rig.ok("logs", a).lines(), [str(soft), str(hard)], "limits")


def test_a_bundle_with_options(rig):
    a = rig.id("a")
    bundle = make_bundle(rig, "bundle", ("sh", "-c", "echo $X; exit 1"))
    rig.ok("run", "-d", "--name", a, "--bundle", bundle, "-m", "64m", "-e", "X=yes")
    rig.crash_point()
    rig.ok("wait", a)
    check_equal(rig.ok("logs", a).out, "yes\n", "logs")


def test_a_bundle_is_run_twice_at_once(rig):
    bundle = make_bundle(rig, "bundle", ("sleep", "1000"))
    for name in "ab":
        rig.ok("run", "-d", "--name", rig.id(name), "--bundle", bundle)
    rig.crash_point()
    for name in "ab":
        check_equal(rig.state_of(rig.id(name)), "running", "state")


def bad(rig, path, *words):
    a = rig.id("bad")
    done = rig.gantry("run", "-d", "--name", a, "--bundle", path)
    check_equal(done.code, 125, f"exit code of {done!r}")
    for word in words:
        check(word in done.err, f"{word!r} in: {done.err}")
    check_equal(rig.state_of(a), None, "nothing is left")


def test_bad_bundles(rig):
    bad(rig, rig.path("missing"), rig.path("missing"))
    bundle = make_bundle(rig, "bundle")
    rig.crash_point()
    config = os.path.join(bundle, "config.json")
    for text, words in (("{ not json", ("config.json", "JSON")), ("[]", ("config.json",)),
                        ("{}", ("config.json",)), ("", ("config.json",))):
        with open(config, "w") as f:
            f.write(text)
        bad(rig, bundle, *words)
    os.unlink(config)
    bad(rig, bundle, "config.json")
    os.mkdir(config)
    bad(rig, bundle, "config.json")
    until(lambda: rig.ok("ps"), "it lives")


def test_a_rootfs_that_is_not_there(rig):
    done = rig.gantry("run", "-d", "--name", rig.id("a"), "--rootfs", "/nowhere", "--", "true")
    check_equal(done.code, 125, f"exit code of {done!r}")
    check("/nowhere" in done.err, done.err)
    rig.crash_point()
    check_equal(rig.state_of(rig.id("a")), None, "nothing is left")


def test_relative_paths_mean_the_clients_directory(rig):
    done = subprocess.run([os.path.join(rig.bin_dir, "gantry"), "run", "--rm", "--rootfs",
                           "rootfs", "--", "echo", "hi"], cwd=rig.dir, env=rig.environment(),
                          capture_output=True)
    check_equal((done.returncode, done.stdout), (0, b"hi\n"), f"run ({done.stderr})")
