#include <map>

#include <unistd.h>

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
  event_copy(v1::FollowRequest request, bool json, sink& out)
    : call("/gantry.v1.Events/Follow"), request_(std::move(request)), json_(json), out_(out) {}

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
      out_.put((json_ ? to_json(e) : event_line(e)) + "\n");
      request_.mutable_since()->set_epoch(e.epoch());
      request_.mutable_since()->set_seq(e.seq());
    }
  }

  void done(result<void> how) override { end_ = std::move(how); }

  [[nodiscard]] const std::optional<result<void>>& end() const noexcept { return end_; }

private:
  [[nodiscard]] std::string line_of(const v1::Container& c) const {
    if (json_)
      return json_object().raw("container", to_json(c)).done() + "\n";
    return printable(c.namespace_() + "/" + c.id() + "  " + state_text(c.state()) +
                     "  pid=" + std::to_string(c.pid()) + "  " + command_text(c.command())) +
           "\n";
  }

  v1::FollowRequest request_;
  bool json_;
  sink& out_;
  mutable std::string listed_; ///< Printed when the list is whole.
  std::optional<result<void>> end_;
};

/// Where to begin. "From now" is asked for once and remembered, so that what happens while
/// a connection is lost is not skipped.
result<void> set_beginning(session& s, v1::FollowRequest& r) {
  const bool from_all = s.opt.since.empty() && !s.opt.follow && !s.opt.list;
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
  event_copy events(std::move(r), s.opt.json, out);
  s.way.start(events);
  while (!events.end() || out.waiting() > 0)
    step_with_outputs(s.way, out, err, {});
  return *events.end() ? 0 : failed(events.end()->why());
}

int logs_command(session& s) {
  v1::ReadLogRequest r;
  *r.mutable_ref() = s.ref(s.opt.ids.front());
  r.set_process(s.opt.process);
  r.set_follow(s.opt.follow);
  r.set_tail(s.opt.tail);
  sink out(STDOUT_FILENO);
  sink err(STDERR_FILENO);
  log_copy log(std::move(r), {s.opt.json, s.opt.timestamps}, out, err);
  s.way.start(log);
  while (!log.finished() || out.waiting() + err.waiting() > 0)
    step_with_outputs(s.way, out, err, {});
  return log.end() ? 0 : failed(log.end().why());
}

} // namespace gantry::cli
