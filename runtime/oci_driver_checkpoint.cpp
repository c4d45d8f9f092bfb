#include <string_view>

#include "io/file_ops.hpp"
#include "runtime/oci_driver.hpp"

// Checkpoints: written by CRIU through the runtime.

namespace gantry::runtime {

namespace {

constexpr size_t criu_log_limit = 4u << 20;

constexpr size_t most_errors = 3;

/// The first things that went wrong, in CRIU's words: what follows them are consequences.
std::string first_errors(std::string_view log) {
  constexpr std::string_view mark = "Error (";
  std::string out;
  size_t at = log.find(mark);
  for (size_t n = 0; n < most_errors && at != std::string_view::npos; ++n) {
    const auto line = log.substr(at, std::min(log.find('\n', at), log.size()) - at);
    const auto words = line.find("): ");
    out.append(out.empty() ? "" : "; ")
      .append(words == std::string_view::npos ? line : line.substr(words + 3));
    at = log.find(mark, at + mark.size());
  }
  return out;
}

} // namespace

/// The runtime only says that CRIU failed, and where its log is.
void oci_driver::explain_images(const std::string& log, error why, std::function<void(error)> f) {
  io::read_file(loop_, log, criu_log_limit, "CRIU's log",
                [log, why = std::move(why), f = std::move(f)](result<std::string> text) mutable {
                  const auto words = text ? first_errors(*text) : std::string();
                  if (!words.empty())
                    why.message += ": " + words;
                  if (words.find("iptables") != std::string::npos)
                    why.cure = "install iptables: CRIU holds the network still with it";
                  f(std::move(why));
                });
}

void add_images(oci_call& x, const std::string& images, const image_options& what) {
  for (const auto& word : {std::string("--image-path"), images, std::string("--work-path"), images})
    x.argv.push_back(word);
  if (what.tcp_established)
    x.argv.emplace_back("--tcp-established");
  if (what.file_locks)
    x.argv.emplace_back("--file-locks");
  if (what.external_unix)
    x.argv.emplace_back("--ext-unix-sk");
}

void oci_driver::checkpoint(checkpoint_command c, plain_answer answer) {
  make_notes();
  auto f = std::make_shared<plain_answer>(std::move(answer));
  const auto deadline = c.deadline.count() > 0 ? c.deadline : policy_.checkpoint_deadline;
  auto x = call("checkpoint", c.runtime, c.id, notes_ + "/" + c.id + ".checkpoint.log", deadline,
                c.op);
  add_images(x, c.images, c.image);
  if (c.leave_running)
    x.argv.emplace_back("--leave-running");
  x.argv.push_back(c.id);
  run(x, f, [weak = weak_from_this(), x, f, images = c.images](oci_end end) {
    auto self = weak.lock();
    if (!self)
      return;
    auto why = self->failure(x, end);
    self->unlink(x.log);
    self->commands_.settled(end);
    if (!why)
      return (*f)({});
    if (end.overdue || end.status.signal != 0)
      return (*f)(*std::move(why));
    self->explain_images(images + "/dump.log", *std::move(why),
                         [f](error e) { (*f)(std::move(e)); });
  });
}

} // namespace gantry::runtime
