#include "library/body.hpp"
#include "library/remote_link.hpp"

namespace gantry::library {

namespace {

/// A connection to another process's supervisor.
class connected final : public supervisor::impl {
public:
  explicit connected(connect_options how) : options_(std::move(how)) {}
  ~connected() override { finish({}); }

  result<void> start() {
    if (options_.socket.empty())
      return error{ec::invalid_argument, "no socket was named to connect to", ""};
    return launch([this] { main(); });
  }

private:
  void main() {
    auto made = poll_reactor::make();
    if (!made)
      return serving(std::move(made).why());
    reactor_ = made->get();
    auto here = std::make_shared<library::site>(std::move(*made));
    client::channel_policy policy;
    policy.outage = options_.outage;
    here->connect(std::make_unique<remote_link>(*reactor_, options_.socket, policy));
    const auto greeted = greet(*here);
    if (greeted) {
      site = here;
      serving({});
      reactor_->run();
    }
    here->end({ec::cancelled, "the connection to the supervisor was given up", ""});
    reactor_->shut();
    // Twice: what ends a stream is put off once, and what it was waiting for once more.
    reactor_->turn(0);
    reactor_->turn(0);
    if (!greeted)
      serving(greeted.why());
  }

  result<void> greet(library::site& here) {
    std::optional<result<v1::InfoReply>> answer;
    here.ask<v1::InfoReply>(v1::InfoRequest{},
                            [&answer](result<v1::InfoReply> x) { answer = std::move(x); });
    while (!answer)
      reactor_->turn(-1);
    if (!*answer)
      return answer->why();
    return {};
  }

  void begin_end(std::optional<bool>) override { reactor_->stop(); }

  connect_options options_;
  poll_reactor* reactor_ = nullptr; ///< The site's.
};

} // namespace

result<std::unique_ptr<supervisor::impl>> make_connected(connect_options how) {
  auto out = std::make_unique<connected>(std::move(how));
  if (auto started = out->start(); !started)
    return std::move(started).why();
  return std::unique_ptr<supervisor::impl>{std::move(out)};
}

} // namespace gantry::library
