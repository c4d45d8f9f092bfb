#include "runtime/probe_talk.hpp"

#include "runtime/probe_grpc.hpp"
#include "runtime/probe_http.hpp"
#include "runtime/probe_tls.hpp"

namespace gantry::runtime {

namespace {

class http_talk final : public probe_talk {
public:
  explicit http_talk(const probe_question& q)
    : first_(q.status_first), last_(q.status_last), request_(probe_request(q)) {}

  std::string output() override { return std::exchange(request_, {}); }

  state feed(std::string_view bytes) override { return verdict(answer_.feed(bytes)); }

  state end() override { return verdict(answer_.end()); }

  [[nodiscard]] std::string text() const override {
    if (answer_.status() == 0)
      return answer_.why();
    if (passes())
      return answer_.first_line();
    return answer_.first_line() + " (asked for " + std::to_string(first_) + " to "
           + std::to_string(last_) + ")";
  }

private:
  [[nodiscard]] bool passes() const {
    return answer_.status() >= first_ && answer_.status() <= last_;
  }

  [[nodiscard]] state verdict(probe_answer::state x) const {
    if (x == probe_answer::state::more)
      return state::more;
    return x == probe_answer::state::ready && passes() ? state::passed : state::failed;
  }

  int first_;
  int last_;
  std::string request_;
  probe_answer answer_;
};

} // namespace

result<std::unique_ptr<probe_talk>> talk_of(const probe_question& q) {
  std::unique_ptr<probe_talk> out;
  if (is_web(q.kind))
    out = std::make_unique<http_talk>(q);
  if (is_rpc(q.kind))
    out = grpc_talk_of(q);
  if (over_tls(q.kind))
    return tls_talk_of(q, std::move(out));
  return out;
}

} // namespace gantry::runtime
