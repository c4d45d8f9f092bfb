#pragma once

#include <deque>
#include <memory>

#include "io/held_poll.hpp"
#include "io/keeper_socket.hpp"
#include "io/launch.hpp"
#include "io/shelf.hpp"

namespace gantry::io {

/// The shelf of a keeper, over its socket. Messages are sent at once; only where the socket's
/// queue is full (some 200 messages, each a few µs of the keeper's work) they wait in memory,
/// in order, and are durable once `pending` is 0 again.
class keeper_shelf final : public shelf {
public:
  /// Greets the keeper (waits up to 5 s) and maps the arena. Owns `fds` from here.
  /// `unsupported` if the keeper speaks another version.
  static result<std::unique_ptr<keeper_shelf>> open(loop& l, const keeper_fds& fds);
  ~keeper_shelf() override; ///< At any time; the loop must still be turned (`loop::drain`).

  result<void> put(const shelf_key& key, const shelf_note& note,
                   std::span<const int> fds) override;
  result<void> drop(const shelf_key& key) override;
  result<std::vector<shelf_entry>> list() override;
  [[nodiscard]] int news_fd() const noexcept override { return news_.get(); }
  void freed() noexcept override;
  void farewell() noexcept override;
  void farewell_for_now() noexcept override;
  void ready() noexcept override;
  [[nodiscard]] bool alive() const noexcept override { return alive_; }
  void on_lost(std::function<void()> f) override { on_lost_.push_back(std::move(f)); }
  [[nodiscard]] arena memory() const noexcept override { return arena_; }

  /// Messages that the socket did not take yet.
  [[nodiscard]] size_t pending() const noexcept { return waiting_.size(); }
  /// Messages that the keeper did not obey (shelf full, descriptors lost). `f` gets each
  /// one's key, on the loop or from inside `list`.
  void on_refused(std::function<void(const shelf_key&, const error&)> f) {
    on_refused_ = std::move(f);
  }
  [[nodiscard]] uint64_t refused() const noexcept { return refused_; }
  [[nodiscard]] int keeper_pid() const noexcept { return keeper_pid_; }
  /// Times that this keeper has started a gantryd, this one included.
  [[nodiscard]] uint64_t generation() const noexcept { return generation_; }

private:
  struct outgoing {
    keeper_wire::message what;
    std::vector<fd> fds;
  };

  keeper_shelf(loop& l, const keeper_fds& fds);
  result<void> map(int number);
  result<void> greet();
  result<void> send(const keeper_wire::message& what, std::span<const int> fds);
  int send_now(const outgoing& x) noexcept;
  void flush();
  void flush_later();
  bool wait_for(short events, nanoseconds deadline) noexcept;
  result<keeper_packet> next_packet(nanoseconds deadline);
  void listen();
  void read_all();
  void refusal(const keeper_wire::message& m);
  void lose();

  loop& loop_;
  int socket_;
  fd news_;
  std::span<std::byte> memory_;
  arena arena_;
  held_poll readable_; ///< Owns the socket.
  held_poll writable_;
  timer again_;
  std::deque<outgoing> waiting_;
  std::vector<std::function<void()>> on_lost_;
  std::function<void(const shelf_key&, const error&)> on_refused_;
  uint64_t refused_ = 0;
  uint64_t generation_ = 0;
  int keeper_pid_ = -1;
  bool alive_ = true;
  std::shared_ptr<int> life_ = std::make_shared<int>();
};

} // namespace gantry::io
