#!/usr/bin/python3
"""What a build installs serves programs that know nothing of its tree: the examples are built
from the installed package, by CMake and by pkg-config, and run with real containers.

  installed_test.py BUILD
"""

import os
import shutil
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "host"))

from checks import Broken, check, check_equal  # noqa: E402
from rig import Rig, make_rootfs  # noqa: E402


def run(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, **options)
    check(done.returncode == 0, f"{' '.join(words)}: {done.returncode}\n{done.stdout[-3000:]}\n"
                                f"{done.stderr[-3000:]}")
    return done.stdout


def clear_cgroups(parent):
    tops = [e.path for e in os.scandir("/sys/fs/cgroup") if e.is_dir()]
    for top in ["/sys/fs/cgroup"] + tops:
        for folder, _, _ in os.walk(os.path.join(top, parent), topdown=False):
            os.rmdir(folder)


class Installed:
    """A prefix with gantry in it, and a copy of the examples far from the tree."""

    def __init__(self, build):
        self.dir = tempfile.mkdtemp(prefix="gantry-installed-")
        self.prefix = os.path.join(self.dir, "moved/opt/gantry")  # Not where it says it is.
        run("cmake", "--install", build, "--prefix", "/opt/gantry",
            env=dict(os.environ, DESTDIR=os.path.join(self.dir, "moved")))
        shutil.copytree(os.path.join(SOURCE, "examples"), os.path.join(self.dir, "examples"))

    def lib_dir(self):
        for folder, _, names in os.walk(self.prefix):
            if "gantry.pc" in names:
                return folder
        raise Broken("gantry.pc is not installed")

    def by_cmake(self, *options):
        out = os.path.join(self.dir, "by-cmake")
        run("cmake", "-S", os.path.join(self.dir, "examples"), "-B", out, "-G", "Ninja",
            f"-DCMAKE_PREFIX_PATH={self.prefix}", *options)
        run("cmake", "--build", out)
        return out

    def by_pkg_config(self):
        out = os.path.join(self.dir, "by-pkg-config")
        os.makedirs(out)
        env = dict(os.environ, PKG_CONFIG_PATH=self.lib_dir())
        flags = run("pkg-config", "--cflags", "--libs", "gantry", env=env).split()
        for name in ("embed", "watch"):
            run("g++", os.path.join(self.dir, f"examples/{name}.cpp"), "-o",
                os.path.join(out, name), *flags, f"-Wl,-rpath,{os.path.dirname(self.lib_dir())}")
        return out

    def go_watch(self):
        """The watcher in Go, by the packages of packages-full.txt; None without them."""
        libraries = "/usr/share/gocode"
        if not shutil.which("go") or not shutil.which("protoc-gen-go") or not os.path.isdir(
                os.path.join(libraries, "src/google.golang.org/grpc")):
            print("skipped: the watcher in Go (see scripts/packages-full.txt)")
            return None
        root = os.path.join(self.dir, "go")
        os.makedirs(os.path.join(root, "src/watch"))
        shutil.copy(os.path.join(self.dir, "examples/go/watch.go"), os.path.join(root, "src/watch"))
        run("protoc", "-I" + os.path.join(self.prefix, "share/gantry"), f"--go_out={root}/src",
            "--go_opt=Mmessages/gantry.proto=gantry/v1", "messages/gantry.proto")
        out = os.path.join(root, "watch")
        run("go", "build", "-o", out, "watch", cwd=root, env=dict(
            os.environ, GO111MODULE="off", GOPATH=f"{root}:{libraries}", GOFLAGS=""))
        return out

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def check_embed(installed, out):
    rootfs = make_rootfs(os.path.join(installed.dir, "rootfs-" + os.path.basename(out)))
    for keeper in ((), (os.path.join(installed.prefix, "bin/gantry-keeper"), "--")):
        work = tempfile.mkdtemp(prefix="gantry-embed-", dir="/run")
        try:
            parent = os.path.basename(work)
            said = run(*keeper, os.path.join(out, "embed"), work, rootfs, parent).splitlines()
        finally:
            shutil.rmtree(work, ignore_errors=True)
            clear_cgroups(parent)
        for line in ("out: hello, gantry", "exit: 3", "event: create greeter",
                     "event: start greeter", "event: exit greeter", "event: delete greeter"):
            check_equal(said.count(line), 1, f"{line!r} in {said}")


def check_watchers(installed, out):
    """One daemon of the installed ones, and all watchers of it."""
    go = installed.go_watch()
    rig = Rig(os.path.join(installed.prefix, "bin"))
    try:
        rig.start()
        rig.run("lives", "sleep", "1000")
        watchers = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for words in (
            [os.path.join(out, "watch"), rig.socket, "3"],
            ["/usr/bin/python3", os.path.join(installed.dir, "examples/python/watch.py"),
             rig.socket, os.path.join(installed.prefix, "share/gantry"), "3"],
            *([[go, rig.socket, "3"]] if go else []))]
        heads = []
        for w in watchers:
            heads.append([w.stdout.readline().split(), w.stdout.readline().strip()])
        rig.run("a", "true")
        for w, head in zip(watchers, heads):
            rest = w.communicate(timeout=60)[0]
            check_equal(head, [["container", "lives", "running"], "events from here on"], "head")
            check_equal([line.split()[1:] for line in rest.splitlines()],
                        [["create", "a"], ["start", "a"], ["exit", "a"]], "events")
            check_equal(w.returncode, 0, "its end")
    finally:
        rig.close()


def check_attach(installed, out):
    """The example that attaches, while gantryd is killed under it four times."""
    lines = 400
    rig = Rig(os.path.join(installed.prefix, "bin"))
    try:
        rig.start()
        rig.run("a", "sh", "-c", "while read x; do echo got $x; done; exit 7", options=("-i",))
        words = [os.path.join(out, "attach"), rig.socket, "a"]
        guest = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        for n in range(lines):
            guest.stdin.write(f"{n}\n")
            guest.stdin.flush()
            if n % 100 == 50:
                rig.kill_daemon()
        heard, said = guest.communicate(timeout=120)
        check_equal(heard, "".join(f"got {n}\n" for n in range(lines)),
                    "every line once, in and out")
        check_equal(guest.returncode, 0, "its end")
        check(f"exit 7, input {sum(len(str(n)) + 1 for n in range(lines))}, " in said, said)
    finally:
        rig.close()


def test_by_cmake(installed):
    out = installed.by_cmake()
    check_embed(installed, out)
    check_watchers(installed, out)
    check_attach(installed, out)


def test_by_pkg_config(installed):
    check_embed(installed, installed.by_pkg_config())


def test_headers_name_no_library_below(installed):
    for folder, _, names in os.walk(os.path.join(installed.prefix, "include")):
        for name in names:
            with open(os.path.join(folder, name)) as f:
                text = f.read()
            for word in ("<caf", "google/", "nghttp2", "openssl/", "spdlog/", "liburing"):
                check(word not in text, f"{name} includes {word}")


def main(tests):
    build = os.path.abspath(sys.argv[1])
    passed = failed = 0
    installed = Installed(build)
    try:
        for name, test in list(tests.items()):
            if not name.startswith("test_"):
                continue
            try:
                test(installed)
                passed += 1
                print(f"ok     {name}", flush=True)
            except Exception:
                failed += 1
                print(f"FAILED {name}\n{traceback.format_exc(limit=-5)}", flush=True)
    finally:
        installed.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(globals()))
