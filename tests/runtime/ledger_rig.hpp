#pragma once

#include "runtime/ledger.hpp"
#include "tests/runtime/journal_rig.hpp"

namespace gantry::runtime::testing {

/// A ledger over a real journal, as gantryd has it.
struct ledger_host {
  host h;
  temp_dir dir;
  std::unique_ptr<arena_memory> memory = std::make_unique<arena_memory>();
  journal_policy policy;
  std::string boot = "boot-1";
  recovery_report report;
  std::unique_ptr<ledger> l;

  explicit ledger_host(journal_policy p = {}) : policy(p) { start(); }
  ~ledger_host() { stop(); }

  void start() {
    auto w = std::make_unique<world>();
    report = {};
    auto j = journal_file::open(
      *h.loop, memory->view(), dir.path, boot, policy,
      [&w](const journal::Snapshot& s) { w->load(s); },
      [&w](const journal::Record& r) { w->apply(r); }, report);
    REQUIRE(j.ok());
    l = std::make_unique<ledger>(*h.loop, *std::move(j), std::move(w));
  }

  void stop() {
    if (!l)
      return;
    bool done = false;
    l->stop([&done] { done = true; });
    REQUIRE(h.until([&done] { return done; }));
    l.reset();
  }

  journal::Record base(const std::string& container, const std::string& process = "init") {
    journal::Record r;
    r.set_namespace_("default");
    r.set_container(container);
    r.set_process(process);
    if (const auto* c = l->now().find({"default", container}))
      r.set_instance(c->instance);
    return r;
  }

  /// Creating, Created and Started; the seq of the start.
  uint64_t run(const std::string& container, const std::string& label = {}) {
    auto creating = base(container);
    creating.mutable_creating()->mutable_spec()->set_rootfs("/r");
    if (!label.empty())
      (*creating.mutable_creating()->mutable_spec()->mutable_labels())["app"] = label;
    l->record(creating);
    auto created = base(container);
    created.mutable_created();
    l->record(created);
    auto started = base(container);
    started.set_run(1);
    started.mutable_started();
    return l->record(started);
  }

  uint64_t exit(const std::string& container, int code = 0) {
    auto died = base(container);
    died.mutable_died();
    l->record(died);
    auto exited = base(container);
    exited.mutable_exited()->mutable_exit()->set_exit_code(code);
    return l->record(exited);
  }

  uint64_t remove(const std::string& container) {
    auto r = base(container);
    r.mutable_deleted();
    return l->record(r);
  }

  using items = std::vector<v1::FollowItem>;

  result<items> next(event_feed& f, size_t max = 1 << 20) {
    std::optional<result<items>> got;
    f.next(max, [&got](result<items> r) { got = std::move(r); });
    REQUIRE(h.until([&got] { return got.has_value(); }));
    return *std::move(got);
  }

  /// All of a feed that does not follow, in pieces.
  items drain(event_feed& f, size_t piece = 200) {
    items out;
    for (;;) {
      auto some = next(f, piece);
      REQUIRE(some.ok());
      if (some->empty())
        return out;
      out.insert(out.end(), some->begin(), some->end());
    }
  }

  items all_since(uint64_t epoch, uint64_t seq, const v1::EventFilter& filter = {}) {
    v1::FollowRequest req;
    req.mutable_since()->set_epoch(epoch);
    req.mutable_since()->set_seq(seq);
    *req.mutable_filter() = filter;
    event_feed f(*l, req);
    return drain(f);
  }
};

inline std::vector<std::string> types_of(const std::vector<v1::FollowItem>& items) {
  std::vector<std::string> out;
  for (const auto& i : items)
    out.push_back(i.has_event()       ? i.event().type()
                  : i.has_container() ? "container:" + i.container().id()
                                      : "listed");
  return out;
}

} // namespace gantry::runtime::testing
