#include <sys/ioctl.h>

#include "library/attach.hpp"
#include "library/convert.hpp"
#include "runtime/bundle.hpp"

namespace gantry {

namespace {

/// More pieces than this are not told apart: the cursor is then a little behind.
constexpr size_t most_places = 4096;

} // namespace

void attachment::joined::passed(std::string text) {
  std::lock_guard guard(mutex);
  read_to();
  if (places.size() >= most_places)
    places.pop_back();
  places.push_back({put, std::move(text)});
}

const std::string& attachment::joined::read_to() {
  std::array<uint64_t, 2> read = put;
  for (size_t i = 0; i < 2; ++i)
    if (int waiting = 0; pipes[i] >= 0 && ::ioctl(pipes[i], FIONREAD, &waiting) == 0)
      read[i] -= uint64_t(waiting);
  while (!places.empty() && places.front().put[0] <= read[0] && places.front().put[1] <= read[1]) {
    cursor = std::move(places.front().cursor);
    places.pop_front();
  }
  return cursor;
}

uint64_t attachment::stdin_offset() const {
  if (!joined_)
    return 0;
  std::lock_guard guard(joined_->mutex);
  return joined_->stdin_offset;
}

std::string attachment::cursor() const {
  if (!joined_)
    return {};
  std::lock_guard guard(joined_->mutex);
  return joined_->read_to();
}

uint64_t attachment::left_out(uint32_t stream) const {
  if (!joined_ || stream < 1 || stream > 2)
    return 0;
  std::lock_guard guard(joined_->mutex);
  return joined_->left_out[stream - 1];
}

std::optional<exit_report> attachment::exit() const {
  if (!joined_)
    return {};
  std::lock_guard guard(joined_->mutex);
  return joined_->exit;
}

result<void> attachment::resize(terminal_size size) {
  if (!joined_ || !terminal())
    return error{ec::wrong_state, "the process that is attached to has no terminal",
                 "ask for one when it is made (terminal)"};
  if (!joined_->input)
    return error{ec::permission_denied, "the attachment only reads",
                 "attach with `in` to resize, or ask supervisor::resize"};
  const auto wanted = library::to_bus(size);
  if (auto fits = runtime::check_terminal_size(wanted); !fits)
    return fits;
  const bool in = joined_->at->post([j = joined_, wanted] {
    if (const auto pump = j->pump.lock(); pump && !pump->over())
      pump->resize(wanted);
  });
  return in ? result<void>{} : library::site::ended();
}

std::string attachment::detach() {
  if (!joined_)
    return {};
  const auto end = [](const std::shared_ptr<joined>& j) {
    if (const auto pump = j->pump.lock())
      pump->end();
  };
  if (joined_->at->here()) {
    end(joined_);
  } else {
    auto done = std::make_shared<std::promise<void>>();
    auto ended = done->get_future();
    // Where the supervisor has ended, nobody needs to be told.
    if (joined_->at->post([j = joined_, end, done] {
          end(j);
          done->set_value();
        }))
      ended.wait();
  }
  return cursor();
}

} // namespace gantry
