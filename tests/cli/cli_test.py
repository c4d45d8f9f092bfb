"""gantry, the program, against a scripted gantryd made of grpcio: a peer that nobody here
wrote. Usage: cli_test.py GANTRY SOURCE_DIR [unittest options]."""

import base64
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

import cutter
import fake_gantryd

GANTRY, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
PATIENCE = 40  # seconds until a test is given up


class Daemon:
    """Keeps a fake gantryd alive: when it dies, the next one is started, as the keeper does."""

    def __init__(self, where, stubs):
        self.socket = os.path.join(where, "gantry.sock")
        self.book = fake_gantryd.Book(os.path.join(where, "book"))
        self.command = ["/usr/bin/python3", fake_gantryd.__file__, self.socket, SOURCE, stubs,
                        self.book.path]
        self.stopping = False
        self.lives = 0
        self.process = None
        self.up = threading.Event()
        self.thread = threading.Thread(target=self.keep)
        self.thread.start()
        if not self.up.wait(PATIENCE):
            raise RuntimeError("the fake gantryd did not start")

    def keep(self):
        while not self.stopping:
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
            if self.process.stdout.readline() == "ready\n":
                self.lives += 1
                self.up.set()
            self.process.wait()
            self.process.stdout.close()

    def stop(self):
        self.stopping = True
        self.process.kill()
        self.thread.join()


class CliTest(cutter.CutTests, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stubs = tempfile.mkdtemp(prefix="gantry-stubs-")
        fake_gantryd.load_stubs(SOURCE, cls.stubs)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.stubs)

    def setUp(self):
        self.where = tempfile.mkdtemp(prefix="gantry-cli-")
        self.daemon = Daemon(self.where, self.stubs)
        self.env = {"PATH": os.environ["PATH"], "GANTRY_SOCKET": self.daemon.socket,
                    "FROM_OUTSIDE": "yes"}

    def tearDown(self):
        self.daemon.stop()
        shutil.rmtree(self.where)

    def gantry(self, *args, code=0, **more):
        done = subprocess.run([GANTRY, *args], env=self.env, capture_output=True,
                              timeout=PATIENCE, check=False, **more)
        self.assertEqual(done.returncode, code, done)
        return done

    def notes(self, kind):
        return self.daemon.book.notes(kind)

    def refused(self, code, words, *args):
        """The command fails with one line that has all of `words`."""
        done = self.gantry(*args, code=code)
        text = done.stderr.decode()
        self.assertEqual(text.count("\n"), 1, text)
        self.assertTrue(text.startswith("gantry: "), text)
        for word in words:
            self.assertIn(word, text)
        self.assertEqual(done.stdout, b"")

    # ---- run, create, exec ------------------------------------------------------------

    def test_run_copies_both_streams_and_ends_with_the_containers_code(self):
        done = self.gantry("run", "--name", "seven", "--rootfs", "/srv", "sh", "-c", "exit 7",
                           code=7)
        self.assertEqual((done.stdout, done.stderr), (b"out\n", b"err\n"))
        note = self.notes("create")[0]
        self.assertEqual(note["args"], ["sh", "-c", "exit 7"])
        self.assertTrue(note["start"])
        self.assertEqual(len(note["request_id"]), 32)
        self.assertEqual(self.notes("wait")[0]["instance"], 42)
        self.assertEqual(self.notes("read")[0]["instance"], 42)

    def test_a_signalled_container_gives_128_plus_the_signal(self):
        self.gantry("run", "--name", "killed", "--rootfs", "/srv", "true", code=137)

    def test_options_of_run_reach_the_supervisor(self):
        done = self.gantry("run", "-d", "--rm", "-i", "-m", "64m", "--cpus", "1.5", "--pids-limit",
                           "-1", "-e", "A=b=c", "-eFROM_OUTSIDE", "-e", "NOT_SET", "--label", "k=v",
                           "--label=e=", "--rootfs", ".", "--", "-odd", "--json", cwd=self.where)
        note = self.notes("create")[0]
        self.assertEqual(done.stdout.decode().strip(), note["id"])
        self.assertRegex(note["id"], "^[0-9a-f]{12}$")
        self.assertEqual(note["memory"], 64 << 20)
        self.assertEqual(note["nano_cpus"], 1_500_000_000)
        self.assertEqual(note["pids"], -1)
        self.assertEqual(note["env"], ["A=b=c", "FROM_OUTSIDE=yes"])
        self.assertEqual(note["labels"], {"k": "v", "e": ""})
        self.assertEqual(note["rootfs"].rstrip("/"), os.path.realpath(self.where))
        self.assertEqual(note["args"], ["-odd", "--json"])
        self.assertTrue(note["rm"] and note["stdin"])

    def test_everything_behind_the_first_word_is_the_commands(self):
        self.gantry("run", "-d", "--rootfs", "/srv", "ls", "-d", "--name", "x", "--", "y")
        self.assertEqual(self.notes("create")[0]["args"], ["ls", "-d", "--name", "x", "--", "y"])
        self.gantry("exec", "-d", "web", "ls", "-d", "--json")
        self.gantry("exec", "web", "-d", "--id", "job", "--", "-odd")
        self.assertEqual([(n["args"], n["process"]) for n in self.notes("exec")],
                         [(["ls", "-d", "--json"], ""), (["-odd"], "job")])

    def test_exit_codes_say_who_failed(self):
        run = ("run", "--rootfs", "/srv")
        self.refused(127, ["no such command: /missing"], *run, "/missing")
        self.refused(126, ["not executable"], *run, "/etc/passwd")
        self.refused(125, ["\"taken\"", "— 100 %"], *run, "--name", "taken", "true")
        self.refused(125, ["no container \"gone\""], "rm", "gone")
        self.refused(125, ["--memory", "\"64q\"", "64m"], *run, "--memory", "64q", "true")
        self.refused(125, ["--rootfs or --bundle"], "run", "true")
        self.refused(125, ["--cpus", "\"1,5\""], "create", "--cpus", "1,5", "--rootfs", "/", "x")
        self.refused(125, ["command is needed"], "exec", "web")
        self.refused(125, ["--bogus"], *run, "--bogus", "true")
        self.refused(1, ["--bogus"], "ps", "--bogus")
        self.refused(1, ["did you mean logs?"], "logz")
        self.refused(1, ["ID"], "stop")
        self.refused(1, ["--time", "\"soon\""], "stop", "-t", "soon", "web")
        self.refused(1, ["--filter", "colour"], "events", "--filter", "colour=red")

    def test_errors_are_objects_with_json(self):
        done = self.gantry("--json", "rm", "gone", code=125)
        self.assertEqual(json.loads(done.stderr)["error"]["code"], "not_found")

    def test_signals_go_to_the_container(self):
        with subprocess.Popen([GANTRY, "run", "--name", "patient", "--rootfs", "/srv", "true"],
                              env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as p:
            self.assertEqual(p.stdout.readline(), b"out\n")  # It runs.
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(PATIENCE), 143)
        self.assertEqual([(n["id"], n["signal"]) for n in self.notes("kill")], [("patient", "15")])

    def test_stdin_arrives_whole_although_the_server_dies(self):
        data = os.urandom(300_001)
        done = self.gantry("run", "-i", "--name", "reader", "--rootfs", "/srv", "cat", input=data)
        taken = b"".join(bytes.fromhex(n["data"]) for n in self.notes("stdin"))
        self.assertEqual(taken, data)
        self.assertEqual(len(self.notes("close-stdin")), 1)
        self.assertGreaterEqual(self.daemon.lives, 3)
        self.assertEqual(done.stdout, b"out\n" * done.stdout.count(b"out\n"))

    # ---- a supervisor that dies ---------------------------------------------------------

    def test_run_survives_the_death_of_gantryd_at_every_step(self):
        done = self.gantry("run", "--name", "lost", "--rootfs", "/srv", "true", code=7)
        whole = b"".join(fake_gantryd.line(i) for i in range(fake_gantryd.LINES))
        self.assertEqual(done.stdout, whole)
        self.assertEqual(done.stderr, b"")
        creates = self.notes("create")
        self.assertEqual(len(creates), 2)
        self.assertEqual(creates[0]["request_id"], creates[1]["request_id"])
        self.assertEqual({n["instance"] for n in self.notes("wait")}, {42})
        self.assertEqual({n["kind"] for n in self.notes(None) if n["kind"].startswith("died")},
                         {"died-create", "died-wait", "died-logs-700", "died-logs-1900"})

    def test_a_list_is_asked_for_again(self):
        done = self.gantry("ps", "-q", "-n", "late")
        self.assertEqual(done.stdout, b"web\n")
        self.assertEqual(len(self.notes("died-list")), 1)

    def test_events_go_on_from_the_cursor_and_none_is_printed_twice(self):
        done = self.gantry("events", "-f", "-n", "dying", "--json")
        seqs = [json.loads(line)["seq"] for line in done.stdout.splitlines()]
        self.assertEqual(seqs, list(range(101, 141)))
        self.assertEqual(self.notes("follow")[0]["seq"], 100)  # "from now" is a place
        self.assertEqual(self.notes("follow")[1]["seq"], 120)

    def test_a_list_that_was_cut_off_is_printed_once(self):
        done = self.gantry("events", "--list", "--json")
        items = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([i["container"]["id"] for i in items[:1]], ["web"])
        self.assertEqual([i["seq"] for i in items[1:]], list(range(101, 141)))

    def test_an_absent_daemon_is_said_at_once(self):
        self.env["GANTRY_SOCKET"] = os.path.join(self.where, "none.sock")
        self.refused(125, ["cannot reach gantryd at", "none.sock", "No such file", "gantryd, or"],
                     "ps")

    # ---- what is printed ----------------------------------------------------------------

    def test_ps_is_a_table_and_objects(self):
        text = self.gantry("ps", "-a").stdout.decode()
        head, web, old = text.splitlines()
        self.assertEqual(head.split(), ["ID", "STATE", "PID", "COMMAND", "CREATED"])
        self.assertRegex(web, r'^web +Up \d+ years +4242 +"sh -c echo "hi"" +\d+ years ago$')
        self.assertRegex(old, r"^old +Exited \(SIGKILL, OOM\) \d+ years ago +- ")
        for args in (("ps", "-a", "--json"), ("--json", "ps", "-a"),
                     ("ps", "-a", "--format", "json")):
            rows = [json.loads(line) for line in self.gantry(*args).stdout.splitlines()]
            self.assertEqual([r["id"] for r in rows], ["web", "old"])
            self.assertEqual(rows[0]["instance"], 2**53 + 1)
            self.assertEqual(rows[0]["created_at"], "2023-11-14T22:13:20.123456789Z")
            self.assertIsNone(rows[0]["exit"])
            self.assertIsNone(rows[1]["exit"]["exit_code"])
            self.assertEqual(rows[1]["exit"]["signal"], 9)
            self.assertIs(rows[1]["exit"]["oom"], True)

    def test_templates_and_filters(self):
        def said(*args):
            return self.gantry(*args).stdout.decode()
        self.assertEqual(said("ps", "-a", "--format", "{{.ID}} {{.State}}"),
                         "web running\nold stopped\n")
        head, web, _ = said("ps", "-a", "--format", "table {{.Names}}\\t{{.Status}}").splitlines()
        self.assertEqual(head.split(), ["NAMES", "STATUS"])
        self.assertRegex(web, r"^web +Up \d+ years$")
        self.assertEqual(said("inspect", "--format", "{{.id}} {{json .config.x}}", "a", "b"),
                         "a []\nb []\n")
        self.assertEqual(said("version", "--format", "{{.server.gantry}}"), "9.9.9\n")
        self.assertEqual(said("events", "--since", "139", "--format", "{{.seq}} {{.type}}"),
                         "140 exit\n")
        self.assertIn("3MiB / ", said("stats", "--format", "{{.MemUsage}}"))
        self.refused(1, ["--format", "\"nmae\"", "there are: ", "labels"],
                     "ps", "--format", "{{.nmae}}")
        self.gantry("ps", "--filter", "state=running", "--filter", "label=k")
        self.assertEqual(self.notes("list")[-1]["filter"], "states: RUNNING label_keys: \"k\"")

    def test_stats_go_on_at_an_interval(self):
        with subprocess.Popen([GANTRY, "stats", "--json", "--interval", "10ms"], env=self.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
            lines = [json.loads(p.stdout.readline()) for _ in range(3)]
            p.terminate()
            self.assertEqual(p.wait(PATIENCE), -signal.SIGTERM)
        self.assertEqual({x["id"] for x in lines}, {"web"})

    def test_a_terminal_gets_colours_and_redraws(self):
        def on_terminal(*args, env=None, until):
            pid, fd = pty.fork()
            if pid == 0:
                os.execve(GANTRY, [GANTRY, *args], {**self.env, **(env or {})})
            text = b""
            while until not in text and select.select([fd], [], [], PATIENCE)[0]:
                try:
                    text += os.read(fd, 65536)
                except OSError:
                    break
            os.close(fd)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return text
        events = ("events", "--since", "138")
        self.assertIn(b"\x1b[31mexit", on_terminal(*events, until=b"3:140"))
        self.assertNotIn(b"\x1b", on_terminal(*events, until=b"3:140", env={"NO_COLOR": "1"}))
        self.assertNotIn(b"\x1b", on_terminal("--no-color", *events, until=b"3:140"))
        live = on_terminal("stats", "--interval", "10ms", until=b"\x1b[J\x1b[H")
        self.assertTrue(live.startswith(b"\x1b[2J\x1b[H"), live)
        self.assertIn(b"CPU %", live)
        self.assertNotIn(b"\x1b", on_terminal("stats", "--no-stream", until=b"web"))

    def test_system_df(self):
        text = self.gantry("system", "df").stdout.decode()
        self.assertIn("journal", text)
        self.assertRegex(text, r"web +3 +2KiB +4KiB")
        self.assertEqual(json.loads(self.gantry("system", "df", "--json").stdout)
                         ["containers"][0]["log_bytes"], 2048)
        self.refused(1, ["prune", "gantry system df"], "system", "prune")

    def test_event_objects_have_all_fields(self):
        lines = self.gantry("events", "--since", "3:118", "--json", "--filter", "type=exit",
                            "--filter", "type=start").stdout.splitlines()
        start, stop = json.loads(lines[0]), json.loads(lines[1])
        self.assertEqual(list(start)[:11], ["seq", "epoch", "time", "type", "namespace",
                                            "container", "instance", "run", "process", "pid",
                                            "cause"])
        self.assertEqual(start["time"], "2023-11-14T22:13:20.000000119Z")
        self.assertEqual(start["by"], {"uid": 1000, "gid": 100, "pid": 7})
        self.assertNotIn("exit_code", start)
        self.assertEqual([stop[k] for k in ("exit_code", "signal", "oom", "stdout_bytes",
                                            "stderr_bytes", "io_open", "by")],
                         [None, 9, True, 2**40, 0, True, None])
        self.assertEqual(self.notes("follow")[0]["types"], ["exit", "start"])
        text = self.gantry("events", "--since", "139").stdout.decode()
        self.assertIn("3:140  exit  default/web  pid=1234  signal=SIGKILL  oom=yes", text)

    def test_logs_have_stamps_at_line_starts_and_say_what_is_missing(self):
        done = self.gantry("logs", "-t", "--tail", "5", "binary")
        self.assertEqual(done.stdout, b"1970-01-01T00:00:00.000000001Z \xff\x00ok\n")
        self.assertEqual(done.stderr.decode(),
                         "1970-01-01T00:00:00.000000002Z half a cut line\n"
                         "1970-01-01T00:00:00.000000003Z next\n"
                         "gantry: 2 log files were rotated away before they were read: "
                         "output is missing here\n"
                         "1970-01-01T00:00:00.000000004Z last")
        self.assertEqual(self.notes("read")[0]["tail"], 5)
        rows = [json.loads(l) for l in self.gantry("logs", "binary", "job", "--json").stdout
                .splitlines()]
        self.assertEqual(base64.b64decode(rows[0]["data_base64"]), b"\xff\x00ok\n")
        self.assertEqual(rows[1]["data"], "half a ")
        self.assertEqual(self.notes("read")[1]["process"], "job")

    def test_wait_prints_codes_in_the_order_of_the_ids(self):
        done = self.gantry("wait", "killed", "seven", "web")
        self.assertEqual(done.stdout, b"137\n7\n0\n")
        self.assertEqual(self.notes("wait")[0]["instance"], 2**53 + 1)

    def test_one_failure_among_several_ids_does_not_hide_the_rest(self):
        done = self.gantry("rm", "-f", "web", "gone", "old", code=125)
        self.assertEqual(done.stdout, b"web\nold\n")
        self.assertEqual(done.stderr, b"gantry: no container \"gone\"\n")

    def test_other_commands_carry_their_options(self):
        self.gantry("stop", "a", "-t", "2.5", "b")
        self.gantry("stop", "c")
        stops = {n["id"]: (n["given"], n["timeout_ns"]) for n in self.notes("stop")}
        self.assertEqual(stops, {"a": (True, 2_500_000_000), "b": (True, 2_500_000_000),
                                 "c": (False, 0)})
        self.gantry("kill", "web", "-p", "job", "-s", "HUP")
        self.gantry("kill", "--all", "web", "old")
        self.assertEqual([(n["signal"], n["process"], n["all"]) for n in self.notes("kill")],
                         [("HUP", "job", False), ("", "", True), ("", "", True)])
        self.gantry("update", "web", "--memory", "128m", "--pids-limit", "200")
        self.assertEqual(self.notes("update")[0]["memory"], 128 << 20)
        self.refused(1, ["nothing is given that is to change"], "update", "web")
        stats = json.loads(self.gantry("stats", "--raw", "--json").stdout)
        self.assertEqual(stats["cpu_usage_ns"], 2**63 + 5)
        self.assertEqual(stats["raw"], {"memory.current": "3145728\n"})
        self.assertIn(b"3MiB", self.gantry("stats").stdout)
        self.assertNotIn(b"\x1b", self.gantry("top", "web").stdout)
        self.assertIn(b"up", self.gantry("info").stdout)
        self.assertIn(b"9.9.9", self.gantry("version").stdout)
        detail = json.loads(self.gantry("inspect", "web").stdout)
        self.assertEqual(detail["config"], {"ociVersion": "1.0.2", "x": []})
        self.assertEqual(self.gantry("inspect", "--json", "a", "b").stdout.count(b"\n"), 2)

    def test_a_journal_that_is_not_there_is_named(self):
        self.refused(125, ["/nonexistent/journal"], "journal", "/nonexistent/journal")

    # ---- a reader that goes or waits ------------------------------------------------------

    def test_a_closed_stdout_ends_quietly(self):
        with subprocess.Popen([GANTRY, "logs", "loud"], env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as p:
            p.stdout.read(10)
            p.stdout.close()
            self.assertEqual(p.wait(PATIENCE), 141)
            self.assertEqual(p.stderr.read(), b"")

    def test_a_reader_that_waits_blocks_no_signal(self):
        with subprocess.Popen([GANTRY, "run", "--name", "loud", "--rootfs", "/srv", "yes"],
                              env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
            self.assertTrue(select.select([p.stdout], [], [], PATIENCE)[0])
            for _ in range(2):
                p.send_signal(signal.SIGUSR1)
                while len(self.notes("kill")) < _ + 1:
                    self.assertIsNone(p.poll())
                    select.select([], [], [], 0.01)
            size = len(p.stdout.read())
            self.assertEqual(p.wait(PATIENCE), 0)
        self.assertEqual(size, 1600 * 65_536)
        self.assertEqual([n["signal"] for n in self.notes("kill")],
                         [str(int(signal.SIGUSR1))] * 2)

    # ---- completion ------------------------------------------------------------------------

    def test_completion_scripts_are_valid_and_complete(self):
        bash = self.gantry("completion", "bash").stdout
        subprocess.run(["bash", "-n"], input=bash, check=True)
        script = bash.decode() + "\nCOMP_WORDS=(gantry lo); COMP_CWORD=1; _gantry; " \
            "echo ${COMPREPLY[@]}; COMP_WORDS=(gantry logs --t); COMP_CWORD=2; _gantry; " \
            "echo ${COMPREPLY[@]}; COMP_WORDS=(gantry logs w); _gantry; echo ${COMPREPLY[@]}"
        env = dict(self.env, PATH=os.path.dirname(GANTRY) + ":" + self.env["PATH"])
        out = subprocess.run(["bash", "-c", script], env=env, capture_output=True, check=True)
        self.assertEqual(out.stdout, b"logs\n--tail --timestamps\nweb\n")
        for shell in ("zsh", "fish"):
            self.assertIn(b"timestamps",
                          self.gantry("completion", shell).stdout)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
