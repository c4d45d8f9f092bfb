#pragma once

#include <google/protobuf/util/message_differencer.h>
#include <random>

#include "runtime/world.hpp"

namespace gantry::runtime::testing {

inline bool same(const google::protobuf::Message& a, const google::protobuf::Message& b,
                 std::string* how = nullptr) {
  google::protobuf::util::MessageDifferencer d;
  if (how != nullptr)
    d.ReportDifferencesToString(how);
  return d.Compare(a, b);
}

/// Makes records as the actors would number them.
struct scribe {
  uint64_t seq = 0;
  int64_t now_ns = 1'000'000'000'000;
  std::string container = "web";
  uint64_t instance = 0;

  journal::Record record(const std::string& process = {}) {
    journal::Record r;
    r.set_seq(++seq);
    r.set_time_ns(now_ns += 1000);
    r.set_epoch(1);
    r.set_namespace_("default");
    r.set_container(container);
    r.set_instance(instance);
    r.set_process(process);
    return r;
  }

  journal::Record creating(bool start = false, const std::string& request = {}) {
    auto r = record();
    instance = r.seq();
    r.set_instance(instance);
    r.set_request_id(request);
    auto& c = *r.mutable_creating();
    c.set_start(start);
    c.set_process_serial(seq);
    c.set_op(900 + seq);
    c.set_runtime("/usr/bin/runc");
    c.mutable_spec()->set_rootfs("/rootfs");
    c.mutable_spec()->add_args("sleep");
    (*c.mutable_spec()->mutable_labels())["app"] = container;
    c.mutable_spec()->mutable_resources()->set_memory_bytes(1 << 20);
    c.mutable_spec()->set_with_stdin(true);
    return r;
  }

  journal::Record created(int pid = 100) {
    auto r = record("init");
    r.set_pid(pid);
    r.mutable_created()->set_start_ticks(5000);
    r.mutable_created()->add_command("sleep");
    return r;
  }

  journal::Record started(uint32_t run = 1, int pid = 100) {
    auto r = record("init");
    r.set_pid(pid);
    r.set_run(run);
    r.mutable_started()->set_start_ticks(5000);
    return r;
  }

  journal::Record exec_adding(const std::string& id, const std::string& request = {}) {
    auto r = record(id);
    r.set_request_id(request);
    r.mutable_exec_adding()->set_process_serial(seq);
    r.mutable_exec_adding()->mutable_spec()->add_args("true");
    return r;
  }

  journal::Record died(const std::string& id, int code) {
    auto r = record(id);
    r.mutable_died()->set_known(true);
    r.mutable_died()->set_code(code);
    return r;
  }

  journal::Record exited(const std::string& id, int code) {
    auto r = record(id);
    r.mutable_exited()->mutable_exit()->set_exit_code(code);
    r.mutable_exited()->mutable_exit()->set_exited_at_ns(now_ns);
    return r;
  }
};

inline const container_name web{"default", "web"};

/// A world in which "web" runs.
struct running_web {
  world w;
  scribe s;
  running_web() {
    w.apply(s.creating());
    w.apply(s.created());
    auto starting = s.record();
    starting.mutable_starting();
    w.apply(starting);
    w.apply(s.started());
  }
  const container_view& c() { return *w.find(web); }
};

/// Any record at all, sensible or not: `apply` is total.
inline journal::Record random_record(scribe& s, std::mt19937_64& random) {
  auto pick = [&random](uint64_t n) { return random() % n; };
  s.container = "c" + std::to_string(pick(4));
  s.now_ns += int64_t(pick(60'000'000'000));
  static const char* const ids[] = {"init", "e1", "e2", "e3", ""};
  auto r = s.record(ids[pick(5)]);
  r.set_instance(pick(3) == 0 ? pick(s.seq) : 0);
  if (pick(2) == 0)
    r.set_request_id("q" + std::to_string(pick(30)));
  if (pick(3) == 0)
    r.mutable_by()->set_uid(uint32_t(pick(5)));
  r.set_pid(int32_t(pick(1000)));
  r.set_run(uint32_t(pick(3)));
  static const auto* const type = journal::Record::descriptor();
  const auto* body = type->FindOneofByName("body");
  const auto* field = body->field(int(pick(uint64_t(body->field_count()))));
  if (pick(6) == 0)
    field = type->FindFieldByName("creating"); // Else most things have nothing to happen to.
  r.GetReflection()->MutableMessage(&r, field);
  if (r.has_creating()) {
    r.set_instance(0);
    r.mutable_creating()->set_start(pick(2) == 0);
    r.mutable_creating()->set_process_serial(s.seq);
    if (pick(2) == 0)
      (*r.mutable_creating()->mutable_spec()->mutable_labels())["k"] = std::to_string(pick(3));
  } else if (r.has_exited()) {
    r.mutable_exited()->mutable_exit()->set_exit_code(int32_t(pick(200)));
    r.mutable_exited()->mutable_exit()->set_exited_at_ns(s.now_ns);
  } else if (r.has_updated()) {
    r.mutable_updated()->mutable_resources()->set_pids_limit(int64_t(pick(100)));
  } else if (r.has_state_restored()) {
    r.mutable_state_restored()->set_state(v1::State(pick(13)));
  } else if (r.has_restored()) {
    r.mutable_restored()->set_state(v1::State(pick(13)));
  } else if (r.has_exec_adding()) {
    r.mutable_exec_adding()->set_process_serial(s.seq);
  } else if (r.has_starting() && pick(2) == 0) {
    r.mutable_starting()->set_fresh(true);
    r.mutable_starting()->set_process_serial(s.seq);
  } else if (r.has_stopping()) {
    r.mutable_stopping()->set_signal(15);
  } else if (r.has_answered()) {
    r.mutable_answered()->set_method("Kill");
    r.mutable_answered()->set_reply(std::to_string(s.seq));
  }
  return r;
}

} // namespace gantry::runtime::testing
