#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <gantry/time.hpp>

// Whether a container works: what it is asked, and what came of it.

namespace gantry {

/// One question. Numbers without a value are as the profile has them.
struct probe {
  std::string role = "check"; ///< Of kubernetes: startup, readiness, liveness.
  /// exec: a program in the container. tcp, http, https, grpc (health v1), grpcs (over TLS): a
  /// connection in its network, without a process. unix, file: a socket or a file beneath its root.
  std::string kind = "exec";
  std::vector<std::string> args{}; ///< Of exec.
  bool shell = false;              ///< `args` is one line for the container's /bin/sh.
  std::string address{};           ///< Of a connection: an IP address; empty: 127.0.0.1.
  uint32_t port = 0;               ///< The same: 1 to 65535.
  std::string path{}; ///< http(s): empty: /. unix, file: absolute, in the container.
  std::string host{}; ///< http(s): the Host header; grpc(s): authority; empty: the address.
  std::vector<std::string> headers{};  ///< http(s): NAME: VALUE
  uint32_t status_first = 0;           ///< http(s): the answers that pass; 0: 200 …
  uint32_t status_last = 0;            ///< … to, 0: 399.
  std::string service{};               ///< grpc(s); empty: the whole server.
  /// https, grpcs: certificates in PEM that the server's must lead to; empty: it may be any.
  std::string tls_ca{};
  std::optional<nanoseconds> younger{}; ///< file: it was changed within this time.
  std::optional<nanoseconds> interval{};
  std::optional<nanoseconds> timeout{};
  std::optional<nanoseconds> initial_delay{};  ///< kubernetes
  std::optional<nanoseconds> start_period{};   ///< docker-current: its failures do not count …
  std::optional<nanoseconds> start_interval{}; ///< … and this is the interval meanwhile.
  std::optional<uint32_t> failures{};          ///< So many in a row are a failure.
  std::optional<uint32_t> successes{};         ///< So many in a row are a success; 1.
};

/// What is asked of a container, again and again.
struct health_check {
  std::string profile{}; ///< Whose rules: docker-2016, docker-current (empty), kubernetes.
  std::vector<probe> probes{};            ///< One of a role; none: switched off.
  std::optional<uint32_t> history{};      ///< Results that are kept of each probe; 5.
  std::optional<uint32_t> output_bytes{}; ///< That are kept of a result's output; 4096.
  bool ignore_throttled = false; ///< A failure for want of CPU time does not count.
  /// When it becomes unhealthy: none (empty), capture, signal=NAME, freeze, restart, kill, stop;
  /// or a ladder of them: `signal=USR1:2,restart:3,stop`. A restart needs no policy; where there
  /// is one, that says how often and when.
  std::string on_unhealthy{};
  std::optional<nanoseconds> reset_after{}; ///< Healthy so long, its ladder begins anew; 10 min.
};

/// How one run of a probe ended.
struct probe_result {
  std::string result{}; ///< passed, failed, timeout, slow_start, throttled, starting.
  std::optional<int32_t> exit_code{};
  moment began{};
  moment ended{};
  uint64_t cpu_ns = 0;  ///< Of the probe with all that it started.
  std::string output{}; ///< Of both streams, the first bytes, as UTF-8.
};

/// Where one probe is.
struct probe_state {
  std::string role{};
  std::string what{};     ///< What it asks, for people: `http 127.0.0.1:8080/health`
  uint32_t failures = 0;  ///< In a row, those that count.
  uint32_t successes = 0; ///< In a row.
  bool runs = false;
  moment next{}; ///< When it runs next; the epoch: not before something else happens.
  std::vector<probe_result> results{}; ///< The last ones, the oldest first.
};

/// What a run has said at its notify socket.
struct notify_report {
  bool ready = false, reloading = false, stopping = false;
  std::string status{};      ///< STATUS=, the first 512 bytes.
  nanoseconds watchdog{0};   ///< As it is now; 0: none.
  moment due{};              ///< It has to be heard of by then; the epoch: no deadline.
  uint64_t datagrams = 0;    ///< That were heard.
  uint64_t refused = 0;      ///< Those of somebody else, and those of more than 4096 bytes.
  uint64_t ignored = 0;      ///< Lines that are no field, or one that means nothing here.
};

/// What was captured of a container before it was ended, that can be read (`read_evidence`).
struct evidence_summary {
  uint64_t number = 0;
  moment taken{};
  uint32_t run = 0;
  std::string reason{};
  uint64_t bytes = 0;
  bool cut = false; ///< Some of it is missing: it took too long, or was too much.
};

/// The health of a container's run.
struct health_report {
  std::string status{}; ///< starting, healthy, unhealthy.
  bool ready = false;   ///< It says so itself, or its probes do.
  std::string profile{};
  std::vector<probe_state> probes{};
  std::string on_unhealthy{};
  uint32_t actions = 0;      ///< Steps of its ladder that were made.
  std::string next_action{}; ///< The one that comes next.
  std::vector<evidence_summary> evidence{}; ///< The oldest first.
  std::optional<notify_report> notify{};    ///< None: it has no notify socket.
};

/// A threshold of pressure, in this run.
struct pressure_state {
  std::string threshold{};   ///< As in the spec.
  std::string unsupported{}; ///< Why it is not watched; empty: it is.
  uint64_t crossed = 0;      ///< So often.
  moment last{};             ///< When it was the last time.
  uint64_t count = 0; ///< Of memory.high: reclaims over it in this run, as far as they were told.
};

/// What of a run was killed for want of memory.
struct oom_report {
  uint64_t kills = 0;   ///< By the counter of its cgroup.
  std::string level{};  ///< Of the last one: whose limit it was: container, host or inferred.
  std::string victim{}; ///< Of the last one: init, other (another process) or unknown.
  moment last{};        ///< When that was noticed.
};

} // namespace gantry
