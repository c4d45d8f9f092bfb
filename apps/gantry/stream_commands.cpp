#include <algorithm>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "apps/gantry/formats.hpp"
#include "apps/gantry/log_copy.hpp"
#include "apps/gantry/objects.hpp"
#include "apps/gantry/session.hpp"
#include "apps/gantry/show.hpp"
#include "apps/gantry/sink.hpp"
#include "apps/gantry/units.hpp"

namespace gantry::cli {

namespace {

/// Prints events as they come; a repeat after a lost connection begins behind the last one
/// that was printed.
class event_copy final : public client::call {
public:
  event_copy(v1::FollowRequest request, const options& opt, sink& out)
    : call("/gantry.v1.Events/Follow"), request_(std::move(request)), opt_(opt), out_(out),
      colors_(color_on(STDOUT_FILENO, opt.no_color)) {}

  [[nodiscard]] std::string request() const override {
    listed_.clear(); // A list that was not completed comes again, whole.
    return request_.SerializeAsString();
  }

  void message(std::string_view bytes) override {
    v1::FollowItem item;
    if (!item.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
      return;
    if (item.has_container()) {
      listed_ += line_of(item.container());
    } else if (item.has_listed()) {
      out_.put(std::exchange(listed_, {}));
      *request_.mutable_since() = item.listed();
      request_.set_list(false);
    } else if (item.has_event()) {
      const auto& e = item.event();
      if (opt_.until_ns && e.time_ns() > *opt_.until_ns)
        past_ = true;
      else if (!opt_.since_ns || e.time_ns() >= *opt_.since_ns)
        out_.put(text_of(e));
      request_.mutable_since()->set_epoch(e.epoch());
      request_.mutable_since()->set_seq(e.seq());
    }
  }

  void done(result<void> how) override { end_ = std::move(how); }

  [[nodiscard]] const std::optional<result<void>>& end() const noexcept { return end_; }
  /// An event behind --until has come.
  [[nodiscard]] bool past() const noexcept { return past_; }
  /// Why --format could not be filled in.
  [[nodiscard]] const std::optional<error>& fault() const noexcept { return fault_; }

private:
  [[nodiscard]] std::string text_of(const v1::Event& e) {
    if (opt_.format.empty())
      return (opt_.json ? to_json(e) : event_line(e, colors_)) + "\n";
    auto rows = row_format::parse(opt_.format);
    auto text =
      rows ? rows->rows({nlohmann::json::parse(to_json(e))}) : result<std::string>(rows.why());
    if (text)
      return *text;
    fault_ = text.why();
    return {};
  }

  [[nodiscard]] std::string line_of(const v1::Container& c) const {
    if (opt_.json)
      return json_object().raw("container", to_json(c)).done() + "\n";
    return printable(c.namespace_() + "/" + c.id() + "  " + state_text(c.state())
                     + "  pid=" + std::to_string(c.pid()) + "  " + command_text(c.command()))
           + "\n";
  }

  v1::FollowRequest request_;
  const options& opt_;
  sink& out_;
  bool colors_;
  bool past_ = false;
  std::optional<error> fault_;
  mutable std::string listed_; ///< Printed when the list is whole.
  std::optional<result<void>> end_;
};

/// Milliseconds until --until of a stream that follows; nothing where there is none.
std::optional<int> time_left_ms(const options& opt) {
  if (!opt.until_ns || !opt.follow)
    return {};
  const int64_t left = (*opt.until_ns - now_ns()) / 1'000'000;
  return static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
}

/// Where to begin. "From now" is asked for once and remembered, so that what happens while
/// a connection is lost is not skipped.
result<void> set_beginning(session& s, v1::FollowRequest& r) {
  const bool from_all = s.opt.since_ns || (s.opt.since.empty() && !s.opt.follow && !s.opt.list);
  const auto wanted = parse_cursor(s.opt.since.empty() ? "0" : s.opt.since);
  if (!wanted)
    return wanted.why();
  if (!s.opt.since.empty() || from_all) {
    r.mutable_since()->set_epoch(wanted->epoch.value_or(0));
    r.mutable_since()->set_seq(wanted->seq);
    if (wanted->epoch || wanted->seq == 0)
      return {};
  } else if (s.opt.list) {
    return {}; // The list says what it is followed by.
  }
  auto now = s.way.ask<v1::InfoReply>("/gantry.v1.Supervisor/Info", v1::InfoRequest());
  if (!now)
    return now.why();
  if (s.opt.since.empty() && now->epoch() > 0)
    r.mutable_since()->set_seq(now->seq());
  if (now->epoch() > 0)
    r.mutable_since()->set_epoch(now->epoch());
  return {};
}

} // namespace

int events_command(session& s) {
  v1::FollowRequest r;
  r.set_follow(s.opt.follow);
  r.set_list(s.opt.list);
  *r.mutable_filter() = s.opt.filter;
  r.mutable_filter()->set_namespace_(s.opt.all_namespaces ? "*" : s.opt.ns);
  if (auto fine = set_beginning(s, r); !fine)
    return failed(fine.why());
  sink out(STDOUT_FILENO);
  sink err(STDERR_FILENO);
  event_copy events(std::move(r), s.opt, out);
  s.way.start(events);
  while ((!events.end() && !events.past() && !events.fault()) || out.waiting() > 0) {
    const auto left = time_left_ms(s.opt);
    if (left == 0 && out.waiting() == 0)
      break;
    step_with_outputs(s.way, out, err, {}, left.value_or(-1));
  }
  if (events.fault()) {
    const auto& why = *events.fault();
    s.way.drop(events);
    return failed({why.code, "--format: " + why.message, why.cure});
  }
  if (!events.end()) {
    s.way.drop(events);
    return 0;
  }
  return *events.end() ? 0 : failed(events.end()->why());
}

int logs_command(session& s) {
  v1::ReadLogRequest r;
  *r.mutable_ref() = s.ref(s.opt.ids.front());
  r.set_process(s.opt.process);
  r.set_follow(s.opt.follow);
  r.set_next_runs(s.opt.follow);
  r.set_tail(s.opt.tail);
  r.set_since_ns(s.opt.since_ns.value_or(0));
  r.set_until_ns(s.opt.until_ns.value_or(0));
  r.set_grep(s.opt.grep);
  r.set_stream(s.opt.stream);
  sink out(STDOUT_FILENO);
  sink err(STDERR_FILENO);
  log_copy log(std::move(r), {s.opt.json, s.opt.timestamps}, out, err);
  s.way.start(log);
  while (!log.finished() || out.waiting() + err.waiting() > 0)
    step_with_outputs(s.way, out, err, {}, -1);
  return log.end() ? 0 : failed(log.end().why());
}

} // namespace gantry::cli
