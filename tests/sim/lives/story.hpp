#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/lives/checks.hpp"

namespace gantry::sim {

/// One request of a client, as often as it takes to get an answer.
struct call {
  using heard = std::function<void(std::string)>;

  std::string method;
  std::string request_id; ///< Empty for a question, which changes nothing.
  std::function<void(actors::front&, const v1::By&, heard)> issue;
  std::string answer; ///< `ok …` or `no CODE: …`.

  [[nodiscard]] bool ok() const { return answer.starts_with("ok"); }
  [[nodiscard]] bool is(ec code) const {
    return answer.starts_with("no " + std::string(name_of(code)) + ":");
  }
};

/// Wraps a request; the answer becomes text, so that two answers can be compared.
template <class Reply, class Request>
call make_call(std::string method, std::string request_id, Request req) {
  call c{std::move(method), std::move(request_id), {}, {}};
  c.issue = [req = std::move(req)](actors::front& door, const v1::By& by, call::heard f) {
    door.call(by, req, actors::answer<Reply>([f = std::move(f)](result<Reply> r) {
      f(r.ok() ? "ok " + r->SerializeAsString()
               : "no " + std::string(name_of(r.why().code)) + ": " + r.why().message);
    }));
  };
  return c;
}

/// A client that sends one request after the other, each until it is answered: when the
/// supervisor dies it asks the next one again, with the same request id.
class story {
public:
  /// @param id Container that it is about.
  /// @param main It creates the container and removes it; the others only disturb.
  story(world& w, std::string id, bool main, uint64_t seed);

  /// Goes on as far as it can without waiting.
  void look();
  [[nodiscard]] bool finished() const noexcept { return finished_; }
  /// A new supervisor: whatever was asked of the old one is asked again.
  void new_life() noexcept { asked_ = false; }
  /// No more mischief: comes to the end as soon as it can.
  void hurry() noexcept { hurry_ = true; }
  [[nodiscard]] std::string where() const;

  findings problems;
  uint64_t requests = 0;
  uint64_t created = 0;
  uint64_t repeats = 0;

private:
  void ask();
  void heard(std::string answer);
  void next();
  void next_of_main();
  void next_of_side();
  void after_create();
  call create_call(bool start);
  call random_call();
  std::vector<std::string> random_work(bool init);
  template <class Request>
  Request about(bool with_id = true);
  std::string fresh_id();
  void rest(nanoseconds span);

  enum class place : uint8_t { create, start, middle, end, check, remove, over };

  world& world_;
  const std::string id_;
  const bool main_;
  dice dice_;
  std::optional<call> now_;
  std::optional<call> again_; ///< An answered one that is asked once more.
  bool asked_ = false;
  bool finished_ = false;
  bool hurry_ = false;
  place at_ = place::create;
  int left_ = 0; ///< Requests in the middle.
  int tries_ = 0;
  int rounds_ = 0; ///< Containers still to come under the same name.
  uint64_t serial_ = 0;
  uint64_t life_ = 0;
  nanoseconds ready_at_{0};
  std::vector<std::string> execs_;
};

} // namespace gantry::sim
