#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <unistd.h>

#include "bench/attached.hpp"

namespace gantry::bench {

namespace {

constexpr size_t line_bytes = 100;

/// CPU time of a process with all its threads, in nanoseconds.
int64_t cpu_ns(int32_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) // fields 3 to 13, proc(5)
    fields >> skipped;
  int64_t user = 0;
  int64_t system = 0;
  fields >> user >> system;
  return (user + system) * (1'000'000'000 / ::sysconf(_SC_CLK_TCK));
}

/// Reads the whole log and looks at every line.
class checker final : public client::call {
public:
  explicit checker(std::string id) : call("/gantry.v1.Logs/Read"), id_(std::move(id)) {}

  [[nodiscard]] std::string request() const override {
    v1::ReadLogRequest r;
    *r.mutable_ref() = ref_of(id_);
    r.set_cursor(cursor_);
    return r.SerializeAsString();
  }

  void message(std::string_view bytes) override {
    v1::LogChunk c;
    if (!c.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
      give_up("a log chunk that cannot be read");
    if (!c.cursor().empty())
      cursor_ = c.cursor();
    if (c.missing_files() > 0)
      give_up("log files are missing");
    if (c.stream() == 2)
      began_ += c.data();
    else
      take(c.data());
  }

  void done(result<void> how) override {
    if (!how)
      give_up("reading the log: " + how.why().text());
    over_ = true;
  }

  [[nodiscard]] bool over() const noexcept { return over_; }
  [[nodiscard]] uint64_t lines() const noexcept { return lines_; }
  [[nodiscard]] bool torn() const noexcept { return !rest_.empty(); }
  [[nodiscard]] int64_t began_ns() const {
    const auto at = began_.find("began ");
    return at == std::string::npos ? 0 : std::strtoll(began_.c_str() + at + 6, nullptr, 10);
  }

private:
  void take(const std::string& bytes) {
    rest_ += bytes;
    size_t at = 0;
    for (; at + line_bytes <= rest_.size(); at += line_bytes)
      look_at(std::string_view(rest_).substr(at, line_bytes));
    rest_.erase(0, at);
  }

  void look_at(std::string_view line) {
    char wanted[line_bytes + 1];
    std::snprintf(wanted, sizeof wanted, "%012llu", static_cast<unsigned long long>(lines_));
    for (size_t i = 12; i + 1 < line_bytes; ++i)
      wanted[i] = static_cast<char>('a' + i % line_bytes % 26);
    wanted[line_bytes - 1] = '\n';
    if (line != std::string_view(wanted, line_bytes))
      give_up("line " + std::to_string(lines_) + " is not what was written");
    ++lines_;
  }

  std::string id_;
  std::string cursor_;
  std::string rest_;
  std::string began_;
  uint64_t lines_ = 0;
  bool over_ = false;
};

} // namespace

/// A writer at full speed in a container, from its first instruction to the exit event;
/// then the whole log is read back and every line compared.
int log_rate(const words& w) {
  session s(w.text("socket"));
  const auto bytes =
    w.number("bytes", int64_t{1} << 30) / int64_t{line_bytes} * int64_t{line_bytes};
  const auto gantryd = static_cast<int32_t>(w.number("pid", 0));
  container c{.id = "writer-" + w.text("block"), .rootfs = w.text("rootfs")};
  c.args = {"/bin/log_writer", std::to_string(bytes), w.text("block")};
  c.log_file_bytes = 256u << 20;
  c.log_files = 64;
  c.log_format = w.text("format", "");
  const auto watched = static_cast<int>(w.number("followers", 0));
  c.start = false; // Whoever follows is there before the first byte.
  create(s, c);
  followers all(w.text("socket"), c.id, watched, static_cast<uint64_t>(bytes));
  int64_t ended = 0;
  uint64_t counted = 0;
  int64_t cpu = 0;
  {
    events stream(s, [&](const v1::Event& e) {
      if (e.type() != "exit" || e.container() != c.id)
        return;
      ended = now_ns();
      counted = e.exit().stdout_bytes();
    });
    cpu = cpu_ns(gantryd);
    v1::StartRequest go;
    *go.mutable_ref() = ref_of(c.id);
    s.ask<v1::StartReply>("/gantry.v1.Containers/Start", go);
    s.until([&] { return ended > 0; }, "the writer's end", 600);
    cpu = cpu_ns(gantryd) - cpu;
  }
  const auto [followed, left_out] = all.end();
  checker check(c.id);
  s.start(check);
  s.until([&] { return check.over(); }, "the whole log", 600);
  if (check.torn() || check.lines() * line_bytes != static_cast<uint64_t>(bytes)
      || counted != static_cast<uint64_t>(bytes))
    give_up("lines in the log: " + std::to_string(check.lines()) + ", bytes by the exit: "
            + std::to_string(counted) + ", wanted " + std::to_string(bytes));
  remove(s, c.id);
  std::printf("{\"bytes\": %lld, \"wall_ns\": %lld, \"cpu_ns\": %lld, \"lines\": %llu, "
              "\"followed\": %llu, \"left_out\": %llu}\n",
              static_cast<long long>(bytes), static_cast<long long>(ended - check.began_ns()),
              static_cast<long long>(cpu), static_cast<unsigned long long>(check.lines()),
              static_cast<unsigned long long>(followed),
              static_cast<unsigned long long>(left_out));
  return 0;
}

} // namespace gantry::bench
