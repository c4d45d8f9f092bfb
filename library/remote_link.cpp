#include "library/remote_link.hpp"

#include "gateways/client/io_bundle.hpp"

namespace gantry::library {

namespace {

/// More than this is not taken from the supervisor before its reader has taken it.
constexpr size_t most_waiting = 1u << 20;
/// The same of live output: what waits is to wait at the supervisor, by the client's policy.
constexpr size_t most_live_waiting = 64u << 10;

/// The pull side of a stream: a connection of its own, held while the reader is behind. Items
/// are added as they arrive, `next` hands them on.
template <class Item>
class pulled : public std::enable_shared_from_this<pulled<Item>> {
public:
  pulled(poll_reactor& r, const std::string& socket, client::channel_policy policy, size_t most)
    : reactor_(r), way_(socket, policy), most_(most) {
    reactor_.add(way_);
  }
  virtual ~pulled() { reactor_.remove(way_); }

  void next(answer<std::vector<Item>> f) {
    waiting_ = std::move(f);
    answer_later();
  }

  /// The reader has gone: nobody is to be told any more.
  void leave() { waiting_ = nullptr; }

protected:
  void add(Item x, size_t bytes) {
    bytes_ += bytes;
    items_.push_back(std::move(x));
    way_.hold(bytes_ > most_);
    answer_later();
  }

  void finish(result<void> how) {
    end_ = std::move(how);
    answer_later();
  }

  poll_reactor& reactor_;
  client::channel way_;

private:
  void answer_later() {
    if (std::exchange(answering_, true))
      return;
    reactor_.later([weak = this->weak_from_this()] {
      if (auto me = weak.lock())
        me->give_answer();
    });
  }

  void give_answer() {
    answering_ = false;
    if (!waiting_ || (items_.empty() && !end_))
      return;
    auto f = std::exchange(waiting_, nullptr);
    bytes_ = 0;
    way_.hold(false);
    if (!items_.empty())
      return f(std::exchange(items_, {}));
    if (!*end_)
      return f(end_->why());
    f(std::vector<Item>{});
  }

  size_t most_;
  answer<std::vector<Item>> waiting_;
  std::vector<Item> items_;
  size_t bytes_ = 0;
  bool answering_ = false;
  std::optional<result<void>> end_;
};

/// A stream of one call with one request.
template <class Item>
class remote_stream : public client::call, public pulled<Item> {
public:
  remote_stream(const char* method, poll_reactor& r, const std::string& socket,
                client::channel_policy policy)
    : call(method), pulled<Item>(r, socket, policy, most_waiting) {}
  ~remote_stream() override { this->way_.drop(*this); }

  void begin() { this->way_.start(*this); }
  void done(result<void> how) override { this->finish(std::move(how)); }
};

/// The events, from where a reader begins, across all losses of the connection.
class remote_events final : public remote_stream<v1::FollowItem> {
public:
  remote_events(v1::FollowRequest req, poll_reactor& r, const std::string& socket,
                client::channel_policy policy)
    : remote_stream("/gantry.v1.Events/Follow", r, socket, policy), request_(std::move(req)) {}

  [[nodiscard]] std::string request() const override {
    listed_.clear(); // A list that was not completed comes again, whole.
    return request_.SerializeAsString();
  }

  void message(std::string_view bytes) override {
    v1::FollowItem item;
    if (!item.ParseFromArray(bytes.data(), int(bytes.size())))
      return;
    if (item.has_container()) {
      listed_.push_back(std::move(item));
      return;
    }
    if (item.has_listed()) {
      for (auto& c : std::exchange(listed_, {}))
        add(std::move(c), 0);
      *request_.mutable_since() = item.listed();
      request_.set_list(false);
    } else if (item.has_event()) {
      request_.mutable_since()->set_epoch(item.event().epoch());
      request_.mutable_since()->set_seq(item.event().seq());
    }
    add(std::move(item), bytes.size());
  }

private:
  v1::FollowRequest request_;
  mutable std::vector<v1::FollowItem> listed_;
};

/// A log, from where a reader begins.
class remote_log final : public remote_stream<v1::LogChunk> {
public:
  remote_log(v1::ReadLogRequest req, poll_reactor& r, const std::string& socket,
             client::channel_policy policy)
    : remote_stream("/gantry.v1.Logs/Read", r, socket, policy), request_(std::move(req)) {}

  [[nodiscard]] std::string request() const override { return request_.SerializeAsString(); }

  void message(std::string_view bytes) override {
    v1::LogChunk chunk;
    if (!chunk.ParseFromArray(bytes.data(), int(bytes.size())))
      return;
    if (!chunk.cursor().empty()) {
      request_.set_cursor(chunk.cursor());
      request_.set_tail(0); // The tail was the beginning; a repeat goes on from here.
    }
    add(std::move(chunk), bytes.size());
  }

private:
  v1::ReadLogRequest request_;
};

/// The streams of a process, in both directions, across all losses of the connection.
class remote_streams final : public pulled<v1::AttachReply> {
public:
  remote_streams(v1::AttachOpen open, poll_reactor& r, const std::string& socket,
                 client::channel_policy policy)
    : pulled(r, socket, policy, most_live_waiting), bundle_(way_, std::move(open), hear()) {}
  ~remote_streams() override { way_.drop(bundle_); }

  void begin() { bundle_.start(); }

  bool take(const v1::AttachRequest& req) {
    if (req.has_size())
      bundle_.resize(req.size());
    else
      bundle_.write(req.input().data());
    return bundle_.wants_input();
  }
  void end_of_requests() { bundle_.close_stdin(); }
  void on_room(std::function<void()> f) { room_ = std::move(f); }

private:
  client::io_events hear() {
    client::io_events on;
    on.reply = [this](v1::AttachReply reply) {
      const auto bytes = reply.output().data().size();
      add(std::move(reply), bytes);
      if (room_ && bundle_.wants_input())
        room_();
    };
    on.end = [this](const result<void>& how) { finish(how); };
    return on;
  }

  client::io_bundle bundle_;
  std::function<void()> room_;
};

/// What a reader owns. The stream ends when the reactor has come round, as its connection may
/// be at work right now.
template <class Base, class Stream, class Item>
class owned final : public Base {
public:
  owned(poll_reactor& r, std::shared_ptr<Stream> s) : reactor_(r), stream_(std::move(s)) {
    stream_->begin();
  }
  ~owned() override {
    stream_->leave();
    reactor_.later([s = std::move(stream_)] {});
  }
  void next(size_t, answer<std::vector<Item>> f) override { stream_->next(std::move(f)); }

private:
  poll_reactor& reactor_;
  std::shared_ptr<Stream> stream_;
};

/// The same of who joins a process's streams.
class owned_streams final : public actors::attachment {
public:
  owned_streams(poll_reactor& r, std::shared_ptr<remote_streams> s)
    : reactor_(r), stream_(std::move(s)) {
    stream_->begin();
  }
  ~owned_streams() override {
    stream_->leave();
    stream_->on_room(nullptr);
    reactor_.later([s = std::move(stream_)] {});
  }
  void next(size_t, answer<std::vector<v1::AttachReply>> f) override {
    stream_->next(std::move(f));
  }
  result<bool> take(v1::AttachRequest req) override { return stream_->take(req); }
  void end_of_requests() override { stream_->end_of_requests(); }
  void on_room(std::function<void()> f) override { stream_->on_room(std::move(f)); }

private:
  poll_reactor& reactor_;
  std::shared_ptr<remote_streams> stream_;
};

} // namespace

remote_link::remote_link(poll_reactor& r, std::string socket, client::channel_policy policy)
  : reactor_(r), socket_(std::move(socket)), policy_(policy), way_(socket_, policy) {
  reactor_.add(way_);
}

remote_link::~remote_link() {
  reactor_.remove(way_);
  for (const auto& [c, owned] : calls_)
    way_.drop(*c);
}

result<std::unique_ptr<actors::event_source>> remote_link::follow(v1::FollowRequest req) {
  using source = owned<actors::event_source, remote_events, v1::FollowItem>;
  return std::unique_ptr<actors::event_source>{std::make_unique<source>(
    reactor_, std::make_shared<remote_events>(std::move(req), reactor_, socket_, policy_))};
}

result<std::unique_ptr<actors::log_follower>> remote_link::read_log(v1::ReadLogRequest req) {
  using source = owned<actors::log_follower, remote_log, v1::LogChunk>;
  return std::unique_ptr<actors::log_follower>{std::make_unique<source>(
    reactor_, std::make_shared<remote_log>(std::move(req), reactor_, socket_, policy_))};
}

result<std::unique_ptr<actors::attachment>> remote_link::attach(v1::AttachOpen open) {
  return std::unique_ptr<actors::attachment>{std::make_unique<owned_streams>(
    reactor_, std::make_shared<remote_streams>(std::move(open), reactor_, socket_, policy_))};
}

} // namespace gantry::library
