#include "tests/gateways/fake_front.hpp"

#include <algorithm>
#include <charconv>
#include <unistd.h>

namespace gantry::test {

namespace {

size_t number_in(std::string_view text) {
  size_t out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

/// The B of "N:B".
size_t second_number_in(std::string_view text) {
  const auto colon = text.find(':');
  return colon == std::string_view::npos ? 0 : number_in(text.substr(colon + 1));
}

v1::FollowItem event(uint64_t seq, const std::string& type, size_t filler = 0) {
  v1::FollowItem out;
  out.mutable_event()->set_seq(seq);
  out.mutable_event()->set_type(type);
  out.mutable_event()->set_container("web");
  out.mutable_event()->mutable_message()->assign(filler, 'x');
  return out;
}

} // namespace

/// Posts `r` to the loop, as the answer of somebody else.
template <class Reply>
void fake_front::later(result<Reply> r, actors::answer<Reply> f) {
  loop_.post([r = std::move(r), f = std::move(f)] { f(r); });
}

template <class Reply>
void fake_front::respond(const v1::Ref& ref, Reply reply, actors::answer<Reply> f) {
  ++calls;
  if (ref.id() == "missing")
    return later<Reply>(
      error{ec::not_found, "no such container: „missing“ (100%)",
            "look at the list: gantry list"},
      std::move(f));
  if (ref.id() == "hang") {
    ++hanging;
    hung_.emplace_back([this, reply, f = std::move(f)] {
      --hanging;
      f(reply);
    });
    return;
  }
  later<Reply>(std::move(reply), std::move(f));
}

void fake_front::release() {
  for (const auto& f : std::exchange(hung_, {}))
    f();
}

void fake_front::call(const v1::By&, v1::VersionRequest, actors::answer<v1::VersionReply> f) {
  v1::VersionReply out;
  out.set_gantry("fake");
  out.set_api("v1");
  respond({}, std::move(out), std::move(f));
}

void fake_front::call(const v1::By&, v1::InfoRequest, actors::answer<v1::InfoReply> f) {
  v1::InfoReply out;
  out.set_containers(uint32_t(calls));
  out.set_running(uint32_t(sources));
  out.set_seq(items_drawn);
  respond({}, std::move(out), std::move(f));
}

void fake_front::call(const v1::By&, v1::CreateRequest r, actors::answer<v1::CreateReply> f) {
  v1::CreateReply out;
  out.set_instance(7);
  respond(r.ref(), std::move(out), std::move(f));
}

void fake_front::call(const v1::By&, v1::StartRequest r, actors::answer<v1::StartReply> f) {
  respond(r.ref(), v1::StartReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::KillRequest r, actors::answer<v1::KillReply> f) {
  respond(r.ref(), v1::KillReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::StopRequest r, actors::answer<v1::StopReply> f) {
  respond(r.ref(), v1::StopReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::PauseRequest r, actors::answer<v1::PauseReply> f) {
  respond(r.ref(), v1::PauseReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::ResumeRequest r, actors::answer<v1::ResumeReply> f) {
  respond(r.ref(), v1::ResumeReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::UpdateRequest r, actors::answer<v1::UpdateReply> f) {
  respond(r.ref(), v1::UpdateReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::RemoveRequest r, actors::answer<v1::RemoveReply> f) {
  respond(r.ref(), v1::RemoveReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::WaitRequest r, actors::answer<v1::WaitReply> f) {
  respond(r.ref(), v1::WaitReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::ListProcessesRequest r,
                      actors::answer<v1::ListProcessesReply> f) {
  respond(r.ref(), v1::ListProcessesReply(), std::move(f));
}

namespace {
struct counted final : actors::pending_wait {
  explicit counted(size_t& n) : count(n) { ++count; }
  ~counted() override { --count; }
  size_t& count;
};
} // namespace

std::unique_ptr<actors::pending_wait> fake_front::exec_sync(const v1::By&,
                                                           const v1::ExecSyncRequest& r,
                                                           actors::answer<v1::ExecSyncReply> f) {
  respond(r.ref(), v1::ExecSyncReply(), std::move(f));
  return std::make_unique<counted>(waits);
}

std::unique_ptr<actors::pending_wait> fake_front::wait(const v1::By& by, v1::WaitRequest r,
                                                      actors::answer<v1::WaitReply> f) {
  call(by, std::move(r), std::move(f));
  return std::make_unique<counted>(waits);
}

void fake_front::call(const v1::By&, v1::ListRequest r, actors::answer<v1::ListReply> f) {
  v1::ListReply out;
  const size_t count = number_in(r.namespace_());
  const size_t filler = second_number_in(r.namespace_());
  for (size_t i = 0; i < count; ++i) {
    auto* c = out.add_containers();
    c->set_id(std::to_string(i));
    c->set_state(v1::RUNNING);
    (*c->mutable_labels())["filler"].assign(filler, 'x');
  }
  respond({}, std::move(out), std::move(f));
}

void fake_front::call(const v1::By& by, v1::InspectRequest r,
                      actors::answer<v1::ContainerDetail> f) {
  v1::ContainerDetail out;
  out.mutable_summary()->set_id(r.ref().id());
  out.set_message(std::to_string(by.uid()) + "/" + std::to_string(by.gid()) + "/" +
                  std::to_string(by.pid()));
  respond(r.ref(), std::move(out), std::move(f));
}

void fake_front::call(const v1::By&, v1::DiskUseRequest, actors::answer<v1::DiskUseReply> f) {
  respond({}, v1::DiskUseReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::StatsRequest r, actors::answer<v1::StatsReply> f) {
  respond(r.ref(), v1::StatsReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::TopRequest r, actors::answer<v1::TopReply> f) {
  respond(r.ref(), v1::TopReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::ExecRequest r, actors::answer<v1::ExecReply> f) {
  v1::ExecReply out;
  out.set_process(r.process());
  respond(r.ref(), std::move(out), std::move(f));
}

void fake_front::call(const v1::By&, v1::WriteStdinRequest r,
                      actors::answer<v1::WriteStdinReply> f) {
  v1::WriteStdinReply out;
  out.set_offset(r.offset() + r.data().size());
  respond(r.ref(), out, std::move(f));
}

void fake_front::call(const v1::By&, v1::CloseStdinRequest r,
                      actors::answer<v1::CloseStdinReply> f) {
  respond(r.ref(), v1::CloseStdinReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::ResizeRequest r, actors::answer<v1::ResizeReply> f) {
  respond(r.ref(), v1::ResizeReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::ReopenLogRequest r,
                      actors::answer<v1::ReopenLogReply> f) {
  respond(r.ref(), v1::ReopenLogReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::CheckpointRequest r,
                      actors::answer<v1::CheckpointReply> f) {
  respond(r.ref(), v1::CheckpointReply(), std::move(f));
}

void fake_front::call(const v1::By&, v1::ListCheckpointsRequest r,
                      actors::answer<v1::ListCheckpointsReply> f) {
  respond(r.ref(), v1::ListCheckpointsReply(), std::move(f));
}

void fake_front::call(const v1::By& by, v1::GetProcessFdRequest r,
                      actors::answer<v1::GetProcessFdReply> f) {
  v1::GetProcessFdReply out;
  auto ticket = tickets_.issue(*process_fd(r), {by.uid(), by.pid()});
  if (!ticket)
    return later<v1::GetProcessFdReply>(ticket.why(), std::move(f));
  out.set_ticket(*ticket);
  out.set_socket(fds_socket);
  respond(r.ref(), std::move(out), std::move(f));
}

void fake_front::call(const v1::By&, v1::RemoveCheckpointRequest r,
                      actors::answer<v1::RemoveCheckpointReply> f) {
  respond(r.ref(), v1::RemoveCheckpointReply(), std::move(f));
}

/// So many events, then those that are published.
class fake_front::events final : public actors::event_source {
public:
  events(fake_front& owner, std::string_view what, bool follow)
    : owner_(owner), left_(number_in(what)), filler_(second_number_in(what)), follow_(follow) {
    owner_.followers_.push_back(this);
    ++owner_.sources;
  }
  ~events() override {
    std::erase(owner_.followers_, this);
    --owner_.sources;
  }

  void next(size_t max_bytes, actors::answer<std::vector<v1::FollowItem>> f) override {
    GANTRY_CHECK(asked_ == nullptr);
    asked_ = std::move(f);
    room_ = max_bytes;
    owner_.loop_.post([this, alive = std::weak_ptr<int>(life_)] {
      if (!alive.expired())
        give();
    });
  }

  void add(const std::string& type) {
    fresh_.push_back(event(++seq_, type));
    give();
  }

private:
  void give() {
    if (asked_ == nullptr)
      return;
    std::vector<v1::FollowItem> out;
    size_t bytes = 0;
    for (; left_ > 0 && bytes < room_; --left_) {
      out.push_back(event(++seq_, "start", filler_));
      bytes += out.back().ByteSizeLong();
    }
    for (; !fresh_.empty() && bytes < room_; fresh_.pop_front()) {
      out.push_back(fresh_.front());
      bytes += out.back().ByteSizeLong();
    }
    if (out.empty() && follow_)
      return;
    owner_.items_drawn += out.size();
    std::exchange(asked_, nullptr)(std::move(out));
  }

  fake_front& owner_;
  size_t left_;
  size_t filler_;
  bool follow_;
  uint64_t seq_ = 0;
  size_t room_ = 0;
  std::deque<v1::FollowItem> fresh_;
  actors::answer<std::vector<v1::FollowItem>> asked_;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

/// So many chunks of 1000 bytes.
class fake_front::chunks final : public actors::log_follower {
public:
  chunks(fake_front& owner, size_t count) : owner_(owner), left_(count) { ++owner_.sources; }
  ~chunks() override { --owner_.sources; }

  void next(size_t max_bytes, actors::answer<std::vector<v1::LogChunk>> f) override {
    std::vector<v1::LogChunk> out;
    for (size_t bytes = 0; left_ > 0 && bytes < max_bytes; bytes += 1000, --left_) {
      out.emplace_back().set_data(std::string(1000, char('a' + left_ % 26)));
      out.back().set_stream(1);
    }
    owner_.items_drawn += out.size();
    owner_.loop_.post([out = std::move(out), f = std::move(f), alive = std::weak_ptr<int>(life_)] {
      if (!alive.expired())
        f(out);
    });
  }

private:
  fake_front& owner_;
  size_t left_;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

/// Input comes back as output.
class fake_front::echo final : public actors::attachment {
public:
  echo(fake_front& owner, bool slow) : owner_(owner), slow_(slow) {
    ++owner_.sources;
    said_.emplace_back().mutable_opened()->set_instance(7);
  }
  ~echo() override { --owner_.sources; }

  void next(size_t, actors::answer<std::vector<v1::AttachReply>> f) override {
    GANTRY_CHECK(asked_ == nullptr);
    asked_ = std::move(f);
    give();
  }

  result<bool> take(v1::AttachRequest req) override {
    if (req.has_size())
      return error{ec::wrong_state, "no terminal here", ""};
    auto* out = said_.emplace_back().mutable_output();
    out->set_stream(1);
    out->set_data(req.input().data());
    if (slow_)
      owner_.hung_.emplace_back([this, alive = std::weak_ptr<int>(life_)] {
        if (!alive.expired() && room_)
          room_();
      });
    give();
    return !slow_;
  }

  void end_of_requests() override {
    said_.emplace_back().mutable_exit()->set_exit_code(0);
    over_ = true;
    give();
  }

  void on_room(std::function<void()> f) override { room_ = std::move(f); }

private:
  void give() {
    owner_.loop_.post([this, alive = std::weak_ptr<int>(life_)] {
      if (!alive.expired() && asked_ && (over_ || !said_.empty()))
        std::exchange(asked_, nullptr)(std::exchange(said_, {}));
    });
  }

  fake_front& owner_;
  bool slow_;
  bool over_ = false;
  std::vector<v1::AttachReply> said_;
  std::function<void()> room_;
  actors::answer<std::vector<v1::AttachReply>> asked_;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

result<std::unique_ptr<actors::attachment>> fake_front::attach(const v1::By&,
                                                               const v1::AttachOpen& open) {
  if (open.ref().id() == "missing")
    return error{ec::not_found, "no such container: missing", ""};
  return std::unique_ptr<actors::attachment>(
    std::make_unique<echo>(*this, open.ref().id() == "slow"));
}

result<std::unique_ptr<actors::event_source>> fake_front::follow(v1::FollowRequest req) {
  const auto& names = req.filter().containers();
  if (!names.empty() && names[0] == "missing")
    return error{ec::not_found, "no such container: missing", ""};
  return std::unique_ptr<actors::event_source>(
    std::make_unique<events>(*this, names.empty() ? "" : names[0], req.follow()));
}

result<std::unique_ptr<actors::log_follower>> fake_front::read_log(const v1::ReadLogRequest& req) {
  return std::unique_ptr<actors::log_follower>(std::make_unique<chunks>(*this, req.tail()));
}

void fake_front::publish(const std::string& type) {
  for (auto* f : std::vector(followers_))
    f->add(type);
}

} // namespace gantry::test
