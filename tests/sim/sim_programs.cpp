#include "tests/sim/sim_programs.hpp"

#include <charconv>
#include <csignal>

namespace gantry::sim {

using namespace std::chrono_literals;

namespace {

int64_t number_in(std::string_view text) {
  int64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

nanoseconds span_in(std::string_view text) {
  const int64_t n = number_in(text);
  if (text.ends_with("us"))
    return std::chrono::microseconds(n);
  return text.ends_with("ms") ? nanoseconds(std::chrono::milliseconds(n))
                              : nanoseconds(std::chrono::seconds(n));
}

/// Ends at once, with a fixed code.
class ends final : public program {
public:
  explicit ends(int code) : code_(code) {}
  void start(process& self) override {
    self.after(self.rng().between(50us, 300us), [&self, code = code_] { self.exit(code); });
  }

private:
  int code_;
};

/// Lives until a signal ends it.
class sleeps final : public program {
public:
  void start(process&) override {}
};

/// `sh -c TEXT`.
class shell final : public program {
public:
  void start(process& self) override {
    const std::string text = self.argv.size() > 2 ? self.argv[2] : "";
    self.after(self.rng().between(50us, 300us), [&self, text] { run(self, text); });
  }

private:
  static void run(process& self, const std::string& text) {
    if (text.starts_with("exit "))
      return self.exit(int(number_in(text.substr(5))));
    if (text.starts_with("kill -"))
      return self.take_signal(int(number_in(text.substr(6))));
    if (text.starts_with("echo "))
      return self.write_all(1, text.substr(5) + "\n", [&self] { self.exit(0); });
    self.exit(127);
  }
};

/// A process of a container, by its work order.
class worker final : public program {
public:
  explicit worker(work_order o) : order_(o) {}

  void start(process& self) override {
    if (order_.child)
      leave_child(self);
    if (order_.cat)
      return copy(self);
    for (int stream : {1, 2})
      if (order_.bytes[size_t(stream - 1)] > 0)
        ++writing_;
    for (int stream : {1, 2})
      if (order_.bytes[size_t(stream - 1)] > 0)
        write_some(self, stream, order_.bytes[size_t(stream - 1)]);
    if (order_.after)
      self.after(*order_.after, [this, &self] {
        time_is_up_ = true;
        maybe_end(self);
      });
  }

  bool on_signal(process& self, int sig) override {
    if (sig != SIGTERM)
      return false;
    if (!order_.ignore_term)
      self.after(self.rng().between(5us, 400us), [this, &self] { self.exit(order_.term); });
    return true;
  }

  [[nodiscard]] bool uninterruptible() const override { return order_.stuck && stuck_now_; }
  void unstick() override { stuck_now_ = false; }

private:
  static std::string line(process& self, int stream, size_t number, size_t most) {
    static constexpr std::string_view filler =
      "the quick \"brown\" fox \\ jumps\tover the lazy dog \xc3\xa9\xe2\x82\xac 0123456789 <&> ";
    std::string out = std::to_string(self.pid) + "." + std::to_string(stream) + "." +
                      std::to_string(number) + " ";
    for (size_t length = self.rng().below(160); length > 0;) {
      const size_t n = std::min(length, filler.size());
      out.append(filler.substr(0, n));
      length -= n;
    }
    out.push_back('\n');
    return out.substr(0, most);
  }

  void write_some(process& self, int stream, size_t left) {
    if (left == 0) {
      --writing_;
      return maybe_end(self);
    }
    // One line at a time, or a block of them, as buffered programs do.
    const size_t block = self.rng().chance(0.5) ? 1 : self.rng().between(1, 40);
    std::string bytes;
    for (size_t i = 0; i < block && bytes.size() < left; ++i)
      bytes += line(self, stream, ++lines_, left - bytes.size());
    const size_t rest = left - bytes.size();
    self.write_all(stream, std::move(bytes), [this, &self, stream, rest] {
      const auto pause = self.rng().chance(0.7) ? self.rng().between(0us, 50us)
                                                : self.rng().between(50us, 3ms);
      self.after(pause, [this, &self, stream, rest] { write_some(self, stream, rest); });
    });
  }

  void copy(process& self) {
    self.read_some(0, 4096, [this, &self](std::string got) {
      if (got.empty())
        return self.exit(order_.exit);
      self.write_all(1, std::move(got), [this, &self] { copy(self); });
    });
  }

  void maybe_end(process& self) {
    if (writing_ > 0 || !time_is_up_)
      return;
    if (order_.oom)
      return self.host.groups.out_of_memory(self);
    if (order_.sig == 0)
      return self.exit(order_.exit);
    self.die_of(order_.sig);
  }

  void leave_child(process& self) const {
    auto child = self.host.fork(self.shared_from_this());
    child->fds = self.fds;
    child->body = std::make_unique<sleeps>();
    if (!order_.stay)
      return;
    std::string words;
    for (size_t n = 1; words.size() < order_.late; ++n)
      words += line(*child, 3, n, order_.late - words.size());
    child->after(*order_.stay, [p = child.get(), words] {
      p->write_all(1, words, [p] { p->exit(0); });
    });
  }

  work_order order_;
  int writing_ = 0;
  size_t lines_ = 0;
  bool time_is_up_ = false;
  bool stuck_now_ = true;
};

} // namespace

work_order work_order::parse(const std::vector<std::string>& argv) {
  work_order o;
  for (const auto& word : argv) {
    const auto cut = word.find('=');
    const auto key = word.substr(0, cut);
    const std::string_view value =
      cut == std::string::npos ? std::string_view() : std::string_view(word).substr(cut + 1);
    if (key == "after")
      o.after = span_in(value);
    else if (key == "exit")
      o.exit = int(number_in(value));
    else if (key == "sig")
      o.sig = int(number_in(value));
    else if (key == "out")
      o.bytes[0] = size_t(number_in(value));
    else if (key == "err")
      o.bytes[1] = size_t(number_in(value));
    else if (key == "stay")
      o.stay = span_in(value);
    else if (key == "late")
      o.late = size_t(number_in(value));
    else if (key == "term")
      o.term = int(number_in(value));
    o.oom = o.oom || word == "oom";
    o.ignore_term = o.ignore_term || word == "ignore-term";
    o.stuck = o.stuck || word == "stuck";
    o.cat = o.cat || word == "cat";
    o.child = o.child || word == "child";
  }
  return o;
}

void install_basics(machine& m) {
  m.install("/bin/true", [](const process&) { return std::make_unique<ends>(0); });
  m.install("/bin/false", [](const process&) { return std::make_unique<ends>(1); });
  m.install("/bin/sleep", [](const process&) { return std::make_unique<sleeps>(); });
  m.install("/bin/sh", [](const process&) { return std::make_unique<shell>(); });
}

void install_work(machine& m) {
  m.install_in_containers("work", [](const process& p) {
    return std::make_unique<worker>(work_order::parse(p.argv));
  });
}

} // namespace gantry::sim
