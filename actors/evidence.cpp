#include "actors/evidence.hpp"

#include <algorithm>
#include <memory>

#include "actors/stdio.hpp"
#include "actors/top.hpp"
#include "io/file_ops.hpp"
#include "io/log.hpp"
#include "io/log_reader.hpp"
#include "runtime/probe_output.hpp"

namespace gantry::actors {

namespace {

// Shares of `most_evidence_bytes`, with room for the names of things.
constexpr size_t end_bytes = 28u << 10;
constexpr uint64_t log_lines = 200;
constexpr size_t cgroup_bytes = 14u << 10;
constexpr size_t cgroup_file_bytes = 3u << 10;
constexpr size_t command_bytes = 120;
constexpr size_t most_processes = 64;
/// So long the log is read …
constexpr auto read_time = std::chrono::milliseconds(600);
/// … and so long it takes in all.
constexpr auto whole_time = std::chrono::milliseconds(1000);

std::string clean(std::string_view text, size_t most) {
  runtime::probe_output out(most);
  out.feed(text);
  return out.text();
}

/// The end of a text. A byte that is no text becomes three: of many there are fewer.
std::string clean_end(std::string_view text, size_t most) {
  const auto end = [text](size_t n) { return text.substr(text.size() - std::min(n, text.size())); };
  auto out = clean(end(most), most);
  return out.size() < most || text.size() < most ? out : clean(end(most / 4), most);
}

class capture final : public std::enable_shared_from_this<capture> {
public:
  capture(services& host, v1::EvidenceKept what, std::string dir,
          std::function<void(v1::EvidenceKept)> f)
    : host_(host), dir_(std::move(dir)), done_(std::move(f)), limit_(host.loop) {
    *out_.mutable_kept() = std::move(what);
  }

  void begin(const runtime::container_view& c) {
    const auto* p = c.init();
    format_ = format_of(log_options_of(c, *p));
    list_processes(c);
    name_ = c.name;
    host_.loop.post([self = shared_from_this()] { // Each is enough for a turn.
      if (!self->life_.expired() && !self->written_)
        self->read_cgroup();
    });
    serial_ = p->serial;
    limit_.start(read_time, [self = shared_from_this()] {
      if (!self->life_.expired())
        self->write(true);
    });
    io::find_tail(host_.loop, dir_, log_lines,
                  [self = shared_from_this()](result<io::log_place> at) {
                    if (self->life_.expired())
                      return;
                    self->reader_ = std::make_unique<io::log_reader>(
                      self->host_.loop, self->dir_, at ? *at : io::log_place{}, self->format_);
                    self->read();
                  });
  }

private:
  void list_processes(const runtime::container_view& c) {
    for (auto& p : processes_in(host_, c, most_processes + 1)) {
      cut_ = cut_ || out_.processes_size() == int(most_processes);
      if (cut_)
        break;
      p.set_command(clean(p.command(), command_bytes));
      *out_.add_processes() = std::move(p);
    }
  }

  void read_cgroup() {
    auto stats = host_.cgroup_of(name_).stats(true);
    if (!stats)
      return;
    *out_.mutable_psi() = stats->psi();
    size_t room = cgroup_bytes;
    for (const auto& [file, text] : stats->raw()) {
      if (file.size() + text.size() > room || text.size() > cgroup_file_bytes) {
        cut_ = true;
        continue;
      }
      room -= file.size() + text.size();
      (*out_.mutable_cgroup())[file] = text;
    }
  }

  void read() {
    reader_->next(end_bytes, [weak = weak_from_this()](result<io::log_reader::batch> b) {
      if (auto self = weak.lock(); self && !self->written_ && !self->life_.expired())
        self->on_batch(std::move(b));
    });
  }

  void on_batch(result<io::log_reader::batch> b) {
    if (!b && b.why().code != ec::data_loss)
      return write(true);
    if (!b)
      return read(); // Behind the damage.
    for (const auto& piece : b->pieces)
      log_ += piece.bytes;
    if (log_.size() > 4 * end_bytes)
      log_.erase(0, log_.size() - 2 * end_bytes);
    if (b->at_end && b->pieces.empty())
      return write(false);
    read();
  }

  void write(bool cut) {
    if (std::exchange(written_, true))
      return;
    if (auto* pump = host_.outputs.pump_of(serial_))
      for (int stream : {0, 1}) // What no line ends yet is in no file.
        log_ += pump->unlogged(stream);
    *out_.mutable_log() = clean_end(log_, end_bytes);
    out_.mutable_kept()->set_cut(cut || cut_);
    auto bytes = out_.SerializeAsString();
    GANTRY_CHECK(bytes.size() <= most_evidence_bytes);
    out_.mutable_kept()->set_bytes(bytes.size());
    limit_.start(whole_time - read_time, [self = shared_from_this()] {
      if (!self->life_.expired())
        self->tell(false);
    });
    const auto path = evidence_file(dir_, out_.kept().number());
    io::write_file(host_.loop, path, std::move(bytes), 0600, false,
                   [self = shared_from_this(), path](result<void> x) {
                     if (self->life_.expired())
                       return;
                     if (!x)
                       io::log_warn("{}: {}", path, x.why().text());
                     self->tell(x.ok());
                   });
  }

  void tell(bool whole) {
    limit_.cancel();
    if (!whole)
      out_.mutable_kept()->set_bytes(0);
    if (auto f = std::exchange(done_, nullptr))
      f(out_.kept());
  }

  services& host_;
  std::weak_ptr<int> life_{host_.life};
  std::string dir_;
  std::function<void(v1::EvidenceKept)> done_;
  io::timer limit_;
  io::log_format format_ = io::log_format::json_file;
  std::unique_ptr<io::log_reader> reader_;
  runtime::container_name name_;
  uint64_t serial_ = 0; ///< Of init.
  v1::Evidence out_;
  std::string log_;
  bool cut_ = false;
  bool written_ = false;
};

} // namespace

std::vector<v1::EvidenceKept> known_evidence(const runtime::container_view& c, int64_t now_ns) {
  std::vector<v1::EvidenceKept> out;
  for (const auto& text : c.evidence)
    if (v1::EvidenceKept one;
        one.ParseFromString(text) && now_ns - one.taken_ns() < runtime::evidence_age_ns)
      out.push_back(std::move(one));
  return out;
}

std::optional<int64_t> remove_old_evidence(services& host) {
  const auto now = host.loop.sys().realtime().count();
  std::optional<int64_t> next;
  for (const auto& [name, c] : host.ledger.now().all())
    for (const auto& text : c->evidence) {
      v1::EvidenceKept one;
      if (!one.ParseFromString(text) || c->init() == nullptr)
        continue;
      const auto old_ns = one.taken_ns() + runtime::evidence_age_ns;
      if (old_ns > now) {
        next = std::min(next.value_or(old_ns), old_ns);
        continue;
      }
      auto op = std::make_shared<io::path_op>(host.loop); // Once more each time, until it is
      op->unlink(evidence_file(host.log_dir(c->init()->serial), one.number()), // forgotten.
                 [op](int32_t) {});
    }
  return next;
}

std::string evidence_file(const std::string& log_dir, uint64_t number) {
  return log_dir + "/evidence." + hex16(number);
}

void capture_evidence(services& host, const runtime::container_view& c, v1::EvidenceKept what,
                      std::function<void(v1::EvidenceKept)> f) {
  auto work = std::make_shared<capture>(host, std::move(what), host.log_dir(c.init()->serial),
                                        std::move(f));
  work->begin(c);
}

} // namespace gantry::actors
