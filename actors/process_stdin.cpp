#include <cerrno>
#include <poll.h>

#include "actors/process.hpp"

namespace gantry::actors {

error process_state::no_stdin() const {
  const auto thing = "process \"" + setup.who.process + "\" of \"" + setup.who.container.id + "\"";
  if (death_)
    return {ec::wrong_state, thing + ": it has ended, its stdin with it", {}};
  return {ec::wrong_state, thing + ": its stdin is closed",
          "ask for stdin when it is created (-i, with_stdin)"};
}

std::optional<result<v1::WriteStdinReply>>
process_state::try_write(const v1::WriteStdinRequest& req) {
  if (!setup.streams.stdin_pipe)
    return no_stdin();
  auto* kept = setup.streams.pump ? setup.streams.pump->stdin_taken() : nullptr;
  const auto taken = kept != nullptr ? kept->load(std::memory_order_relaxed) : stdin_taken_;
  const auto offset = req.append() ? taken : req.offset();
  if (offset > taken)
    return error{ec::invalid_argument,
                 "stdin offset " + std::to_string(offset) + ": input up to "
                   + std::to_string(taken) + " was taken, the bytes between are missing",
                 "send from offset " + std::to_string(taken)};
  v1::WriteStdinReply reply;
  reply.set_offset(taken);
  const auto skip = taken - offset;
  if (skip >= req.data().size())
    return reply;
  const auto fresh = std::span{req.data()}.subspan(skip);
  // At most once across our own death: first say that the bytes may be written, then write.
  if (kept != nullptr)
    kept->store(taken + fresh.size(), std::memory_order_release);
  const auto n = setup.host->loop.sys().write(setup.streams.stdin_pipe.get(), fresh);
  const auto now = taken + uint64_t(std::max<ssize_t>(n, 0));
  if (kept != nullptr)
    kept->store(now, std::memory_order_release);
  stdin_taken_ = now;
  if (n == -EAGAIN || n == -EINTR)
    return std::nullopt;
  if (n == -EPIPE || n == -EIO) { // EIO: of a terminal that nobody has open.
    end_stdin();
    return error{ec::wrong_state,
                 "process \"" + setup.who.process + "\": it has closed its stdin", {}};
  }
  if (n < 0)
    return from_errno(int(-n), "write to", "the stdin of \"" + setup.who.process + "\"");
  reply.set_offset(now);
  reply.set_taken(now - taken);
  return reply;
}

caf::result<v1::WriteStdinReply> process_state::write_stdin(const v1::WriteStdinRequest& req) {
  if (writes_.size() >= 64)
    return to_caf({ec::resource_exhausted, "too many writes to stdin wait already",
                   "wait for their answers"});
  auto promise = self->make_response_promise<v1::WriteStdinReply>();
  writes_.push_back({promise, req});
  if (writes_.size() == 1)
    on_writable();
  return promise;
}

void process_state::on_writable() {
  while (!writes_.empty()) {
    // Out of the queue meanwhile: a pipe that its reader has left ends all that wait in it.
    auto front = std::move(writes_.front());
    writes_.pop_front();
    auto answer = try_write(front.request);
    if (!answer) {
      writes_.push_front(std::move(front));
      wait_writable();
      return;
    }
    auto promise = std::move(front.promise);
    if (*answer)
      promise.deliver(std::move(**answer));
    else
      promise.deliver(to_caf(answer->why()));
  }
}

void process_state::wait_writable() {
  if (!writable_)
    writable_ = std::make_shared<stdin_wait>(setup.host->loop);
  if (writable_->op.in_flight())
    return;
  // The callback holds the wait: it outlives this actor if it has to.
  writable_->op.start(setup.streams.stdin_pipe.get(), POLLOUT,
                      [me = process_actor{self}, keep = writable_](int32_t n) {
                        caf::anon_send(me, atom::writable::value, n);
                      });
}

void process_state::end_stdin() {
  if (relay_)
    relay_->end_input();
  if (!setup.streams.stdin_pipe)
    return;
  if (writable_ && writable_->op.in_flight()) {
    // The poll holds the pipe: it must be at rest before the descriptor goes.
    writable_->pipe = std::move(setup.streams.stdin_pipe);
    writable_->op.cancel();
    writable_.reset();
  } else {
    setup.streams.stdin_pipe.reset();
  }
  for (auto& w : writes_)
    w.promise.deliver(to_caf(no_stdin()));
  writes_.clear();
}

void process_state::on_fed(const std::string& bytes) {
  v1::WriteStdinRequest r;
  r.set_append(true);
  r.set_data(bytes);
  self->request(process_actor{self}, caf::infinite, r)
    .then(
      [this, bytes](const v1::WriteStdinReply& x) {
        if (x.taken() < bytes.size())
          on_fed(bytes.substr(x.taken()));
        else if (relay_)
          relay_->more_input();
      },
      [this](const caf::error&) { // Its stdin is at its end, and the FIFO's with it.
        if (relay_)
          relay_->end_input();
      });
}

caf::result<v1::ResizeReply> process_state::resize(const v1::ResizeRequest& req) {
  // One that has ended has let go of it: too late is no error of the client's.
  if (setup.streams.terminal)
    if (const int n = setup.host->loop.sys().set_terminal_size(
          setup.streams.terminal.get(), uint16_t(req.size().width()),
          uint16_t(req.size().height()));
        n < 0)
      return to_caf(from_errno(-n, "resize", "the terminal of \"" + setup.who.process + "\""));
  return v1::ResizeReply{};
}

caf::result<v1::CloseStdinReply> process_state::close_stdin(const v1::By& by,
                                                            const v1::CloseStdinRequest& req) {
  if (!setup.streams.stdin_pipe)
    return to_caf(no_stdin());
  if (setup.streams.terminal)
    return to_caf({ec::wrong_state,
                   "process \"" + setup.who.process
                     + "\": its stdin is a terminal, which has no end",
                   "write the character that programs take for one: Ctrl-D (0x04)"});
  auto r = record_for(setup.who);
  *r.mutable_by() = by;
  r.set_request_id(req.request_id());
  r.mutable_stdin_closed();
  setup.host->ledger.record(r); // Journalled first: never undone.
  end_stdin();
  drop_stdin(*setup.host, setup.who.serial);
  return v1::CloseStdinReply{};
}

} // namespace gantry::actors
