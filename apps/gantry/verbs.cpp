#include "apps/gantry/grammar.hpp"

#include <array>
#include <utility>

namespace gantry::cli {

namespace {

constexpr const char* make = "Make and run";
constexpr const char* steer = "Steer";
constexpr const char* look = "Look";
constexpr const char* other = "Other";

constexpr std::array rows{
  verb_row{
    "run", make, "Create a container and start it",
    "[OPTIONS] (--rootfs DIR | --bundle DIR) [--] CMD...", words::command,
    R"(In the foreground, stdout and stderr are the container's, Ctrl-C and SIGTERM go to it (the
third one leaves it running and ends gantry), and gantry ends with its exit code. It survives a
restart of gantryd.

Examples:
  gantry run --rm --rootfs /srv/busybox echo hello
  gantry run -d --name web -m 64m --cpus 0.5 -v /srv/data:/data:ro --rootfs /srv/web httpd -f
  gantry run --rm --read-only --tmpfs /tmp --cap-drop ALL -u 1000 --rootfs /srv/busybox id
  echo hello | gantry run --rm -i --rootfs /srv/busybox cat
  gantry run -d --stdin-fifo in --stdout-fifo out --rootfs /srv/busybox cat

A FIFO must be your own or root's, and no link. gantry holds it open: a writer that goes is no end
of the input, and while nobody reads, it fills and the process waits.

Exit codes: the container's own; 128+N when signal N ended it; 125 gantry failed or the options
are wrong; 126 the command cannot be executed; 127 it was not found.)"},
  verb_row{"create", make, "Create a container, do not start it yet",
           "[OPTIONS] (--rootfs DIR | --bundle DIR) [--] CMD...", words::command,
           R"(Prints the container's id. The options are those of run.

Example:
  gantry create --name job --rootfs /srv/busybox sh -c 'echo done' && gantry start job)"},
  verb_row{"start", make, "Start created or stopped containers", "[OPTIONS] ID...", words::ids,
           R"(With --checkpoint a stopped container goes on where that checkpoint was taken, and so
does its log.)"},
  verb_row{
    "exec", make, "Run another process in a container", "[OPTIONS] ID [--] CMD...",
    words::id_command,
    R"(With -d the process's id is printed: logs takes it behind the container's, wait and kill
with -p.

Examples:
  gantry exec web ps
  gantry exec -d --id backup web -- /bin/backup --all
  gantry exec -i web sh < script.sh
  gantry exec -it web sh

Exit codes: as for run.)"},
  verb_row{
    "attach", make, "Join the streams of a running process", "[OPTIONS] ID [PROCESS]",
    words::one_process,
    R"(Its output is ours, and our input, with a terminal also our keys and our size, goes to it.
Several may be attached at once. The detach keys leave it running; so does a restart of gantryd,
after which the session goes on.

Examples:
  gantry attach web
  gantry attach --no-stdin --replay web
  gantry attach --detach-keys ctrl-x,x web shell

Exit codes: as for run; 0 when the detach keys were typed.)"},
  verb_row{"kill", steer, "Send a signal to containers or one of their processes",
           "[OPTIONS] ID...", words::ids,
           R"(Examples:
  gantry kill web
  gantry kill -s HUP web
  gantry kill -p backup web)"},
  verb_row{
    "stop", steer, "Ask containers to end, then kill them", "[OPTIONS] ID...", words::ids,
    R"(Sends the stop signal, waits, and sends SIGKILL. Several containers are stopped at once.

Example:
  gantry stop -t 2.5 web job)"},
  verb_row{"pause", steer, "Freeze all processes of containers", "ID...", words::ids, ""},
  verb_row{"resume", steer, "Let paused containers go on", "ID...", words::ids, ""},
  verb_row{"update", steer, "Change limits, restart policy or health check of containers",
           "CHANGES ID...", words::ids,
           R"(Limits change those of what runs. A restart policy takes the place of the one before,
also of what has stopped; a restart that is scheduled stays so. Of the health check only what is
given becomes another. Of the probes of Kubernetes each is changed by itself: another probe, some
of its numbers (period=5s,failures=2), or none.

Examples:
  gantry update --memory 128m --pids-limit 200 web
  gantry update --restart on-failure:5 --restart-delay 1s web
  gantry update --health-interval 5s --health-on-failure restart:3,stop web
  gantry update --health-readiness period=2s --health-liveness none web)"},
  verb_row{"checkpoint", steer, "Write a container's processes to disk, to go on from there",
           "create|ls|rm [OPTIONS] ID [NAME]", words::ids,
           R"(Needs CRIU (apt-get install criu) and runc. The container ends, unless --leave-running
is given. Execs must have ended, and a terminal cannot be written.

Examples:
  gantry checkpoint create web before-upgrade
  gantry checkpoint ls web
  gantry start --checkpoint before-upgrade web
  gantry checkpoint rm web before-upgrade)"},
  verb_row{"why", look, "Tell how a container came to be where it is", "ID", words::one_id,
           R"(Follows the causes back from the last thing that happened to it: the probe that
failed, the signal, the exit, the restart. Also of one that was removed, as long as the journal
knows it.

Example:
  gantry why web)"},
  verb_row{"health", look, "Show what a container's probes say, or ask one now",
           "[run|evidence] ID [ROLE|NUMBER]", words::ids,
           R"(Shows the status, the streak and the last results. With run a probe is asked at once;
its result counts as any other, and 0 is the exit code where it passed, 1 where it did not. With
evidence it shows what the container looked like before an automatic restart, kill or stop: the
end of its log, its processes, cgroup files and pressure; the newest, or the one of that number.

Examples:
  gantry health web
  gantry health run web
  gantry health evidence web)"},
  verb_row{"rm", steer, "Remove containers and what belongs to them", "[OPTIONS] ID...", words::ids,
           R"(A living container is refused without -f.)"},
  verb_row{"ps", look, "List containers", "[OPTIONS]", words::none,
           R"(Lists the living ones; with -a, or where a state or an exit code is asked for, the
stopped ones too. Of one kind of filter any may hold, of different kinds all must; labels must
all be there.

Examples:
  gantry ps -a
  gantry ps --filter label=tier=web --filter state=running
  gantry ps -a --format 'table {{.ID}}\t{{.Status}}\t{{index .labels "tier"}}'
  gantry rm $(gantry ps -aq))"},
  verb_row{"inspect", look, "Show all that is known of containers", "[OPTIONS] ID...", words::ids,
           R"(Readable JSON, one object for each container; with --json one line each.

Examples:
  gantry inspect web | jq .spec.resources
  gantry inspect --format '{{.pid}} {{range .processes}}{{.id}} {{end}}' web)"},
  verb_row{"logs", look, "Print what a process wrote", "[OPTIONS] ID [PROCESS]", words::one_process,
           R"(stdout goes to stdout and stderr to stderr. With --json each piece is an object with
stream, time and data (data_base64 where the bytes are no UTF-8). gantryd looks through the log,
so only what was asked for comes; --tail counts lines of the whole log, before the others choose.

Examples:
  gantry logs --tail 20 -f web
  gantry logs -t web backup
  gantry logs --since 10m --grep error --stream stderr web)"},
  verb_row{"wait", look, "Wait for containers to exit and print their exit codes",
           "[OPTIONS] ID...", words::ids,
           R"(One line for each container, in the order given: its exit code, or 128+N when signal N
ended it. Works after the container was removed, too.)"},
  verb_row{"top", look, "List the processes in a container", "[OPTIONS] ID", words::one_id,
           R"(On a terminal the list is drawn anew every second, until Ctrl-C.)"},
  verb_row{
    "stats", look, "Show what containers use", "[OPTIONS] [ID...]", words::some_ids,
    R"(Without an id: all running containers of the namespace. On a terminal the table is drawn
anew every second, until Ctrl-C; CPU % is of one CPU. Elsewhere it is printed once; with
--interval again and again.

Examples:
  gantry stats --no-stream
  gantry stats --json --interval 5s web
  gantry stats --no-stream --format '{{.Name}} {{.MemUsage}}')"},
  verb_row{
    "events", look, "Print what happened and what happens", "[OPTIONS]", words::none,
    R"(Without -f: what is kept, from --since on (default: all). With -f: what comes, from now or
from --since on; nothing is lost or doubled when gantryd restarts.

A filter is type=exit, container=web, process=init or label=KEY[=VALUE]; several of a kind: any
of them (of labels: all). Runs of health checks that change nothing are told only to who asks for
them by type=probe; those that do are type=health.

Examples:
  gantry events -f --json
  gantry events --since 0 --filter type=exit --filter container=web
  gantry events --since 3:1204 -f
  gantry events --since 1h --until 10m --format '{{.time}} {{.type}} {{.container}}')"},
  verb_row{"system", look, "Show what lies on the disk", "df [OPTIONS]", words::word,
           R"(Journal, logs, bundles and checkpoints, and what each container has of them.

Example:
  gantry system df --format '{{range .containers}}{{.id}} {{.log_bytes}}\n{{end}}')"},
  verb_row{"info", other, "Show counters and limits of gantryd", "[OPTIONS]", words::none, ""},
  verb_row{"version", other, "Show versions of gantry, gantryd and the runtime", "[OPTIONS]",
           words::none, ""},
  verb_row{
    "journal", other, "Read a journal from disk; gantryd need not run", "[OPTIONS] [DIR]",
    words::some_word,
    R"(DIR is the journal's directory (default: /var/lib/gantry/journal). What is damaged is said
on stderr, and the exit code is then 125.

--repair makes a damaged journal usable again: what is cut out is kept beside it, as
damaged.NAME.)"},
  verb_row{"completion", other, "Print a completion script for a shell", "bash|zsh|fish",
           words::word,
           R"(Examples:
  gantry completion bash > /usr/share/bash-completion/completions/gantry
  gantry completion zsh > /usr/share/zsh/site-functions/_gantry
  gantry completion fish > ~/.config/fish/completions/gantry.fish)"},
  verb_row{"help", other, "Say how a command is used", "[COMMAND]", words::some_word, ""},
  verb_row{nullptr, nullptr, nullptr, nullptr, words::none, nullptr},
};

/// What docker's users type out of habit.
constexpr std::array other_names{
  std::pair<std::string_view, std::string_view>{"ls", "ps"},
  std::pair<std::string_view, std::string_view>{"list", "ps"},
  std::pair<std::string_view, std::string_view>{"unpause", "resume"},
  std::pair<std::string_view, std::string_view>{"remove", "rm"},
};

} // namespace

const verb_row* verb_rows() {
  return rows.data();
}

const verb_row* verb_row_of(std::string_view verb) {
  for (const auto& [name, ours] : other_names)
    if (verb == name)
      verb = ours;
  for (const auto* r = rows.data(); r->verb; ++r)
    if (verb == r->verb)
      return r;
  return nullptr;
}

} // namespace gantry::cli
