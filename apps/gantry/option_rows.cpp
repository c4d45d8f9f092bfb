#include <array>

#include "apps/gantry/grammar.hpp"
#include "messages/check.hpp"

namespace gantry::cli {

namespace {

constexpr const char* plain = "Options";
constexpr const char* sight = "Isolation";
constexpr const char* health = "Health";
constexpr const char* again = "Restarts";
constexpr const char* limits = "Limits";
constexpr const char* global = "Global options";

// The verbs that an option belongs to.
constexpr const char* make = "run create";
constexpr const char* process = "run create exec";
constexpr const char* limited = "run create update";
constexpr const char* changed = limited;

constexpr std::array rows{
  // What runs.
  option_row{"--id", "NAME", "exec", plain, "The process's id (default: gantryd chooses)"},
  option_row{"-d,--detach", "", "run exec", plain, "Do not wait: print the id"},
  option_row{"--name", "ID", make, plain, "The container's id (default: a random one)"},
  option_row{"--bundle", "DIR", make, plain, "OCI bundle to run; it is not written to"},
  option_row{"--rootfs", "DIR", make, plain, "Or a root filesystem to run CMD in"},
  option_row{"--hostname", "NAME", make, plain, "Host name in the container (default: its id)"},
  option_row{"--read-only", "", make, plain, "Mount the root filesystem read-only"},
  option_row{"--network", "MODE", make, plain, "none (default) or host"},
  option_row{"--runtime", "NAME", make, plain, "runc, crun or a path (default: gantryd's)"},
  option_row{"-l,--label", "K=V", make, plain, "A label, for filters and people"},
  option_row{"--annotation", "K=V", make, plain, "An OCI annotation, for the runtime"},
  option_row{"--stop-signal", "SIG", make, plain, "What stop sends first (default SIGTERM)"},
  option_row{"--stop-timeout", "TIME", make, plain, "How long stop waits (default 10 s)"},
  option_row{"--after", "ID[:WHAT]", make, plain,
             "Start it once another container is started (default), ready, healthy or exited_ok; "
             "may be given again"},
  option_row{"--after-timeout", "TIME", make, plain,
             "A start that has waited so long fails (default: it waits on)"},
  option_row{"--rm", "", make, plain, "Remove the container when it has exited"},
  option_row{"--entrypoint", "CMD", make, plain, "The program; CMD... is then its arguments"},
  option_row{"-e,--env", "K[=V]", process, plain,
             "Set a variable; without =VALUE: pass on our own"},
  option_row{"--env-file", "FILE", process, plain, "Variables, one KEY=VALUE a line"},
  option_row{"-w,--workdir", "DIR", process, plain,
             "Working directory in the container (default /)"},
  option_row{"--group-add", "GROUP", process, plain,
             "A further group: a number, or a name of the container's own /etc/group"},
  option_row{"-u,--user", "USER[:GROUP]", process, plain,
             "Names of the container's /etc/passwd and /etc/group, or numbers"},
  option_row{"-i,--interactive", "", process, plain, "Pass our stdin to the process"},
  option_row{"-t,--tty", "", process, plain, "Give the process a terminal"},
  option_row{"--stdin-fifo", "PATH", process, plain,
             "A named FIFO whose bytes are input, too; made where it is not there"},
  option_row{"--stdout-fifo", "PATH", process, plain, "A named FIFO that gets stdout, too"},
  option_row{"--stderr-fifo", "PATH", process, plain, "A named FIFO that gets stderr, too"},
  option_row{"--no-stdin", "", "attach", plain, "Only look: pass no input on"},
  option_row{"--replay", "", "attach", plain, "Begin with its first output, not with what comes"},
  option_row{"--detach-keys", "KEYS", "run exec attach", plain,
             "Keys that leave it running (default ctrl-p,ctrl-q)"},
  option_row{"--log-opt", "K=V", process, plain,
             "max-size=64m, max-file=10, max-line=1m, max-age=24h, compress=true, rate=1m, "
             "burst=4m, when-full=block|drop-oldest|drop-newest, forward=journald|syslog[:/PATH]; "
             "or several, with commas"},
  option_row{"--log-driver", "FORMAT", process, plain,
             "How the log is kept: json-file (default), cri, raw"},
  // What it sees and may do.
  option_row{"-v,--volume", "DIR:DIR[:ro]", make, sight, "Bind a directory or file of the host"},
  option_row{"--mount", "K=V,...", make, sight,
             "type=bind,source=DIR,target=DIR[,readonly][,bind-propagation=rshared], or "
             "type=tmpfs,target=DIR[,tmpfs-size=64m][,tmpfs-mode=1777]"},
  option_row{"--tmpfs", "DIR[:OPTS]", make, sight, "Mount a tmpfs: /tmp:size=64m,exec"},
  option_row{"--shm-size", "SIZE", make, sight, "Size of /dev/shm (default 64m)"},
  option_row{"--cap-add", "CAP", make, sight, "Add a capability: NET_ADMIN; ALL"},
  option_row{"--cap-drop", "CAP", make, sight, "Drop a capability of the default fourteen; ALL"},
  option_row{"--privileged", "", make, sight,
             "Every capability and device, no seccomp: root of the host in all but name"},
  option_row{"--device", "DEV[:DEV][:rwm]", make, sight, "Add a device of the host: /dev/fuse"},
  option_row{"--sysctl", "K=V", make, sight, "Set a sysctl of its own: net.core.somaxconn=512"},
  option_row{"--security-opt", "OPT", make, sight,
             "seccomp=FILE|unconfined, seccomp-agent=SOCKET, no-new-privileges[=false], "
             "apparmor=NAME, label=LABEL|disable, writable-cgroups, systempaths=unconfined"},
  option_row{"--cgroup-parent", "PATH", make, sight, "Its cgroup is PATH/NAMESPACE/ID"},
  // Of an exec.
  option_row{"--privileged", "", "exec", plain, "Every capability, new privileges allowed"},
  option_row{"--cap", "CAP", "exec", plain,
             "A capability (NET_ADMIN); those that are named, instead of the container's"},
  option_row{"--timeout", "TIME", "exec", plain,
             "After this time SIGKILL for it and all that it started: 30, 1.5s, 5m"},
  option_row{"--on-disconnect", "WHAT", "exec", plain,
             "When gantry, in the foreground, goes away: keep (default), term or kill"},
  option_row{"--ttl", "TIME", "exec", plain,
             "So long after its end it is remembered, with its log (default 1 h)"},
  option_row{"--sync", "", "exec", plain,
             "Wait for the end, then print the beginning and the end of its output"},
  option_row{"--head", "SIZE", "exec", plain, "With --sync: so much of the beginning (32k)"},
  option_row{"--tail", "SIZE", "exec", plain, "With --sync: so much of the end (32k)"},
  // Whether it works.
  option_row{"--health-cmd", "CMD", changed, health,
             "A line for its /bin/sh, or [\"PROGRAM\", \"WORD\"] without one: exit code 0 is "
             "healthy; asked again and again"},
  option_row{"--health-http", "PORT[/PATH]", changed, health,
             "Or an HTTP server in its network: an answer of 200 to 399 is healthy; ADDRESS:PORT "
             "where it is not 127.0.0.1; or a URL"},
  option_row{"--health-https", "PORT[/PATH]", changed, health,
             "The same over TLS; its certificate may be any, unless --health-tls-ca is given"},
  option_row{"--health-tcp", "PORT", changed, health,
             "Or a port in its network that takes connections"},
  option_row{"--health-grpc", "PORT[/SERVICE]", changed, health,
             "Or a gRPC server in its network, by its service grpc.health.v1"},
  option_row{"--health-grpcs", "PORT[/SERVICE]", changed, health, "The same over TLS"},
  option_row{"--health-unix", "PATH", changed, health,
             "Or a unix socket in it that takes connections"},
  option_row{"--health-file", "PATH", changed, health, "Or a file in it that must exist"},
  option_row{"--health-tls-ca", "FILE", changed, health,
             "With --health-https or --health-grpcs: its certificate must be valid and lead to one "
             "in this file (PEM, kept with the container)"},
  option_row{"--health-host", "NAME", changed, health,
             "With what speaks HTTP or gRPC: the Host header, and the name in its certificate"},
  option_row{"--health-header", "NAME: VALUE", changed, health,
             "With --health-http or --health-https: a further header"},
  option_row{"--health-status", "N[-N]", changed, health,
             "With --health-http or --health-https: the answers that are healthy (default "
             "200-399)"},
  option_row{"--health-younger", "TIME", changed, health,
             "With --health-file: it must have been changed within this time"},
  option_row{"--health-startup", "PROBE", changed, health,
             "A probe of Kubernetes: http://:8080/path, https://:8443/path, tcp://:6379, "
             "grpc://:9000/service, unix:/path, file:/path or exec:CMD; behind it "
             ",period=10s,timeout=1s,initial-delay=0s,failures=3,status=200-399,host=NAME,"
             "header=NAME: VALUE,tls-ca=FILE"},
  option_row{"--health-readiness", "PROBE", changed, health, "The same; also ,successes=1"},
  option_row{"--health-liveness", "PROBE", changed, health, "The same, as --health-startup"},
  option_row{"--health-interval", "TIME", changed, health,
             "From the start, and from each end to the next (default 30s)"},
  option_row{"--health-timeout", "TIME", changed, health,
             "Longer is a failure, and the check is killed with all it started (default 30s)"},
  option_row{"--health-retries", "N", changed, health, "Failures in a row (default 3)"},
  option_row{"--health-start-period", "TIME", changed, health,
             "Failures in it do not count, before the first success"},
  option_row{"--health-start-interval", "TIME", changed, health,
             "The interval in the start period (default 5s)"},
  option_row{"--health-ignore-throttled", "", changed, health,
             "A failure while its own CPU limit kept it from running does not count"},
  option_row{"--health-on-failure", "WHAT", changed, health,
             "When it becomes unhealthy: none (default), capture, signal=NAME, hook=/PROGRAM, "
             "freeze, restart, kill, stop; or steps: signal=USR1:2,restart:3,stop"},
  option_row{"--health-reset-after", "TIME", changed, health,
             "Healthy for so long, these steps begin anew (default 10m)"},
  option_row{"--health-profile", "NAME", changed, health,
             "docker-current (default), docker-2016 (one retry, exit code 2 is starting), "
             "kubernetes"},
  option_row{"--notify", "", make, health,
             "Give it a socket (NOTIFY_SOCKET) where it says how it is, as sd_notify(3) does: it "
             "is ready, and healthy, when it has said READY=1"},
  option_row{"--watchdog", "TIME", make, health,
             "With --notify: once ready, it says WATCHDOG=1 within each such time, or it is "
             "unhealthy"},
  option_row{"--notify-timeout", "TIME", make, health,
             "With --notify: not ready within this time, it is unhealthy (default: no limit)"},
  option_row{"--notify-extend", "TIME", make, health,
             "With --notify: by so much at most it may put off the end of a start, a stop or the "
             "watchdog (default 5m)"},
  option_row{"--notify-access", "WHO", make, health,
             "With --notify: who is heard, all of its processes (all, default) or its init (main)"},
  option_row{"--no-healthcheck", "", changed, health, "No check, whatever else would bring one"},
  // When it is started again.
  option_row{"--restart", "WHEN", changed, again,
             "no (default), on-failure[:N], always, unless-stopped; never after stop or kill"},
  option_row{"--restart-delay", "TIME", changed, again,
             "Before the first in a row (default 100ms)"},
  option_row{"--restart-factor", "X", changed, again, "Each further one waits X times as long (2)"},
  option_row{"--restart-delay-max", "TIME", changed, again,
             "But not longer than this (default 1m)"},
  option_row{"--restart-jitter", "SHARE", changed, again,
             "Share by which a delay is shortened at most (default 0.1)"},
  option_row{"--restart-reset", "TIME", changed, again,
             "Up for so long, it counts anew (default 10s)"},
  option_row{"--restart-attempts", "N", changed, again,
             "More restarts within the window, and it is dead"},
  option_row{"--restart-window", "TIME", changed, again, "The window of --restart-attempts"},
  option_row{"--restart-rule", "WHAT:ACT", changed, again,
             "exit=3, exit=10-20, signal=SEGV, oom, unhealthy, overtime or pressure, and restart, "
             "stay or dead; "
             "the first that matches decides before --restart"},
  option_row{"--max-run-time", "TIME", make, again,
             "A run that takes longer is stopped, which counts as a failure"},
  // What it may use.
  option_row{"--oom-policy", "WHAT", make, limits,
             "When some of it was killed for want of memory: report (default), kill_group, "
             "restart, stop"},
  option_row{"--pressure", "WHAT", make, limits,
             "An event when it lacks something: memory:full:150ms/2s (cpu, io or memory; some or "
             "full; so much of a window of 500ms to 10s), memory.high; repeatable"},
  option_row{"--pressure-policy", "WHAT", make, limits,
             "What is done then: report (default), restart, stop"},
  option_row{"-m,--memory", "SIZE", limited, limits, "Memory: 64m, 1.5g; -1: no limit"},
  option_row{"--memory-swap", "SIZE", limited, limits, "Memory and swap together; -1: no limit"},
  option_row{"--memory-reservation", "SIZE", limited, limits, "Memory it can count on"},
  option_row{"--cpus", "N", limited, limits, "CPU time: 1.5 is one and a half CPUs"},
  option_row{"--cpu-quota", "USEC", limited, limits, "CPU time in a period; -1: no limit"},
  option_row{"--cpu-period", "USEC", limited, limits, "Length of a period (default 100000)"},
  option_row{"--cpu-shares", "N", limited, limits, "Weight against others (default 1024)"},
  option_row{"--cpuset-cpus", "LIST", limited, limits, "CPUs it may use: 0-3,6"},
  option_row{"--cpuset-mems", "LIST", limited, limits, "NUMA nodes it may use"},
  option_row{"--pids-limit", "N", limited, limits, "Processes and threads; -1: no limit"},
  option_row{"--blkio-weight", "N", limited, limits, "Share of disk time: 10 to 1000"},
  option_row{"--device-read-bps", "DEV:RATE", make, limits, "Bytes a second: /dev/sda:1m"},
  option_row{"--device-write-bps", "DEV:RATE", make, limits, "The same for writing"},
  option_row{"--device-read-iops", "DEV:N", make, limits, "Operations a second"},
  option_row{"--device-write-iops", "DEV:N", make, limits, "The same for writing"},
  option_row{"--ulimit", "NAME=SOFT[:HARD]", make, limits, "nofile=1024:2048; -1: no limit"},
  option_row{"--oom-score-adj", "N", make, limits, "-1000 (never killed) to 1000 (first)"},
  option_row{"--cgroup-conf", "FILE=VALUE", limited, limits,
             "A file of cgroup v2: memory.high=64M"},
  // Of what exists.
  option_row{"-s,--signal", "SIG", "kill", plain, "TERM, SIGTERM or 15 (default KILL)"},
  option_row{"-a,--all", "", "kill", plain, "Every process of the container"},
  option_row{"--tree", "", "kill", plain, "The exec and all that it started"},
  option_row{"-t,--time", "TIME", "stop", plain, "How long to wait before SIGKILL: 10, 2.5s, 1m"},
  option_row{"-s,--signal", "SIG", "stop", plain, "The first signal (default: the container's)"},
  option_row{"--checkpoint", "NAME", "start", plain, "Go on from this checkpoint of the container"},
  option_row{"--checkpoint-dir", "DIR", "run start", plain, "Go on from the images in DIR"},
  option_row{"--leave-running", "", "checkpoint", plain, "Let the container go on afterwards"},
  option_row{"--tcp-established", "", "checkpoint", plain, "Connections, too"},
  option_row{"--file-locks", "", "checkpoint", plain, "Locks of files, too"},
  option_row{"--external-unix", "", "checkpoint", plain, "Unix sockets to the outside, too"},
  option_row{"--dir", "DIR", "checkpoint", plain, "Put the images there, not beside the journal"},
  option_row{"-t,--time", "TIME", "checkpoint", plain, "Give up after so long (default 2 m)"},
  option_row{"-f,--force", "", "rm", plain, "Kill a living container first"},
  option_row{"-p,--process", "PROCESS", "wait kill", plain, "This process, not init"},
  option_row{"-a,--all", "", "ps", plain, "The stopped ones too"},
  option_row{"-q,--quiet", "", "ps", plain, "Only ids"},
  option_row{"--no-trunc", "", "ps top", plain, "Cut nothing short"},
  option_row{"--filter", "K=V", "ps", plain,
             "Only these: name=PART, state=running, label=K[=V], exited=CODE, runtime=runc"},
  option_row{"--format", "FORM", "ps inspect stats events info version system", plain,
             "json, table, or a template as docker's: '{{.id}} {{.state}}', "
             "'table {{.ID}}\\t{{.Status}}'"},
  option_row{"--no-stream", "", "stats top", plain, "Once, also on a terminal"},
  option_row{"--interval", "TIME", "stats top", plain,
             "Again and again; on a terminal every second is usual"},
  option_row{"--raw", "", "stats", plain, "The cgroup's files as they are, too"},
  option_row{"-f,--follow", "", "logs", plain,
             "Go on until the process has exited, over restarts by its policy, too"},
  option_row{"--since", "TIME", "logs", plain, "From there on: 2026-01-31T12:00:00Z, 10m (ago)"},
  option_row{"--until", "TIME", "logs", plain, "Up to there; a follower ends there"},
  option_row{"--grep", "TEXT", "logs", plain, "Only lines that hold this text, letter for letter"},
  option_row{"--stream", "NAME", "logs", plain, "One of the two: stdout or stderr"},
  option_row{"--tail", "N", "logs", plain, "Only the last N lines; all"},
  option_row{"-t,--timestamps", "", "logs", plain, "The time in front of each line"},
  option_row{"--since", "CURSOR", "events", plain,
             "Begin behind this place: EPOCH:SEQ, SEQ, 0 (all kept), or at a time: 10m (ago)"},
  option_row{"-f,--follow", "", "events", plain, "Go on with what comes"},
  option_row{"--list", "", "events", plain, "Begin with the containers as they are"},
  option_row{"--filter", "K=V", "events", plain,
             "Only these: type=exit, container=web, process=init, label=K[=V]"},
  option_row{"--until", "TIME", "events", plain, "End there: 2026-01-31T12:00:00Z, 10m (ago)"},
  option_row{"-A,--all-namespaces", "", "ps events", plain, "Of every namespace"},
  option_row{"--after", "SEQ", "journal", plain, "Only records behind this one"},
  option_row{"--repair", "", "journal", plain, "Cut damage out; gantryd must be stopped"},
  // Of every verb.
  option_row{"--socket", "PATH", "", global,
             "gantryd's socket (or GANTRY_SOCKET; default /run/gantry/gantry.sock)"},
  option_row{"-n,--namespace", "NAME", "", global,
             "Namespace of the containers (or GANTRY_NAMESPACE)"},
  option_row{"--json", "", "", global, "Print JSON, one object a line; errors too"},
  option_row{"--no-color", "", "", global, "No colours (or NO_COLOR)"},
  option_row{"-h,--help", "", "", global, "Print this help"},
  option_row{"-V,--version", "", "", global, "Print gantry's version"},
  option_row{nullptr, nullptr, nullptr, nullptr, nullptr},
};

/// True when `word` is one of the words of `list`, which are apart by a space.
bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(' '), list.size());
    if (list.substr(0, end) == word)
      return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

} // namespace

const option_row* option_rows() {
  return rows.data();
}

std::string_view option_row::long_name() const {
  const std::string_view all = names;
  return all.substr(all.find("--"));
}

char option_row::short_name() const {
  return names[1] == '-' ? '\0' : names[1];
}

bool option_row::belongs_to(std::string_view verb) const {
  return *verbs == '\0' || has_word(verbs, verb);
}

} // namespace gantry::cli
