#include <cstdio>
#include <map>
#include <memory>
#include <sys/wait.h>

#include "bench/bare.hpp"

namespace gantry::bench {

namespace {

struct shot {
  int64_t began = 0;
  int64_t exited = 0;
  int64_t deleted = 0;
  std::unique_ptr<client::unary<v1::CreateReply>> call;
};

container true_container(const words& w, const std::string& id) {
  container c{.id = id, .rootfs = w.text("rootfs")};
  c.args = {"/bin/true"};
  c.remove_on_exit = true;
  return c;
}

class shots {
public:
  shots(session& s, const words& w) : session_(s), words_(w) {}

  void begin(const std::string& id) {
    auto& x = all_[id];
    x.call = std::make_unique<client::unary<v1::CreateReply>>(
      "/gantry.v1.Containers/Create", create_request(true_container(words_, id)));
    x.began = now_ns();
    session_.start(*x.call);
  }

  void see(const v1::Event& e) {
    auto at = all_.find(e.container());
    if (at == all_.end())
      return;
    if (e.type() == "exit") {
      at->second.exited = now_ns();
      if (e.exit().exit_code() != 0)
        give_up("/bin/true did not end with 0");
    }
    if (e.type() == "delete") {
      at->second.deleted = now_ns();
      ++deleted_;
    }
    if (e.type() == "create-failed" || e.type() == "start-failed")
      give_up(e.container() + ": " + e.message());
  }

  [[nodiscard]] int64_t deleted() const noexcept { return deleted_; }
  [[nodiscard]] const std::map<std::string, shot>& all() const noexcept { return all_; }
  [[nodiscard]] bool over(const std::string& id) const {
    const auto& x = all_.at(id);
    return x.deleted > 0 && x.call->finished();
  }

private:
  session& session_;
  const words& words_;
  std::map<std::string, shot> all_;
  int64_t deleted_ = 0;
};

struct bare_times {
  std::vector<int64_t> commands_ns; ///< Wall of the two commands together.
  std::vector<int64_t> wall_ns;
};

void bare_shot(bare_runtime& bare, const std::string& id, bare_times& out) {
  const auto began = now_ns();
  const auto pid = bare.run_detached(id);
  const auto ran = now_ns();
  bare_runtime::reap(pid);
  const auto reaped = now_ns();
  bare.remove(id, false);
  const auto ended = now_ns();
  out.commands_ns.push_back(ran - began + ended - reaped);
  out.wall_ns.push_back(ended - began);
}

/// `count` runs, `at_once` under way at any time: their wall time in all.
int64_t gantry_parallel(session& s, shots& them, int64_t count, int64_t at_once) {
  const auto began = now_ns();
  for (int64_t next = 0; them.deleted() < count;) {
    while (next < count && next - them.deleted() < at_once)
      them.begin("par-" + std::to_string(next++));
    const auto before = them.deleted();
    s.until([&] { return them.deleted() > before; }, "a one-shot among others");
  }
  return now_ns() - began;
}

int64_t bare_parallel(bare_runtime& bare, int64_t count, int64_t at_once) {
  const auto began = now_ns();
  int64_t next = 0;
  for (int64_t under_way = 0, ended = 0; ended < count;) {
    while (next < count && under_way < at_once) {
      bare.begin_run("bare-par-" + std::to_string(next++));
      ++under_way;
    }
    int status = 0;
    if (::wait(&status) <= 0 || status != 0)
      give_up("a bare run failed");
    --under_way;
    ++ended;
  }
  return now_ns() - began;
}

} // namespace

int one_shot(const words& w) {
  session s(w.text("socket"));
  const auto count = w.number("count", 30);
  const auto parallel = w.number("parallel", 100);
  bare_runtime bare(s, w, true_container(w, "pattern"));
  shots singles(s, w);
  shots many(s, w);
  std::vector<int64_t> reply_ns;
  std::vector<int64_t> exit_ns;
  std::vector<int64_t> deleted_ns;
  bare_times times;
  int64_t gantry_wall = 0;
  int64_t bare_wall = 0;
  {
    events stream(s, [&](const v1::Event& e) {
      singles.see(e);
      many.see(e);
    });
    for (int64_t i = 0; i < count; ++i) {
      const auto id = "shot-" + std::to_string(i);
      sleep_ms(5);
      singles.begin(id);
      s.until([&] { return singles.all().at(id).call->finished(); }, "the reply");
      reply_ns.push_back(now_ns() - singles.all().at(id).began);
      s.until([&] { return singles.over(id); }, "the end of a one-shot");
      const auto& x = singles.all().at(id);
      exit_ns.push_back(x.exited - x.began);
      deleted_ns.push_back(x.deleted - x.began);
      sleep_ms(5);
      bare_shot(bare, "bare-" + std::to_string(i), times);
    }
    constexpr int64_t at_once = 4;
    gantry_wall = gantry_parallel(s, many, parallel, at_once);
    bare_wall = bare_parallel(bare, parallel, at_once);
  }
  std::printf("{%s, %s, %s, %s, %s, \"parallel\": %lld, \"gantry_parallel_ns\": %lld, "
              "\"bare_parallel_ns\": %lld}\n",
              list_of("reply_ns", reply_ns).c_str(), list_of("exit_ns", exit_ns).c_str(),
              list_of("deleted_ns", deleted_ns).c_str(),
              list_of("bare_commands_ns", times.commands_ns).c_str(),
              list_of("bare_wall_ns", times.wall_ns).c_str(), static_cast<long long>(parallel),
              static_cast<long long>(gantry_wall), static_cast<long long>(bare_wall));
  return 0;
}

} // namespace gantry::bench
