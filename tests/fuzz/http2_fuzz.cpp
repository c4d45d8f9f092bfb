// Fuzzes the bus from its bytes: an HTTP/2 session with real calls over a fake front, without
// a socket. The first byte decides how the rest is cut, and whether the preface is put
// before it. libFuzzer calls the entry point.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "gateways/bus/grpc_call.hpp"
#include "io/linux_kernel.hpp"
#include "tests/gateways/fake_front.hpp"

using namespace gantry;

namespace {

/// One loop for all runs: a ring for each would be most of the time.
struct world {
  world() : kernel(std::move(*io::linux_kernel::make())), loop(*kernel) {}
  std::unique_ptr<io::linux_kernel> kernel;
  io::loop loop;
};

class host final : public bus::http2_host, public bus::call_host {
public:
  host(io::loop& l, actors::front& f, const bus::server_policy& p, bus::byte_budget& all)
    : call_host(l, f, p, bus::peer{}, all), session_(*this, {}) {
    session = &session_;
  }

  std::shared_ptr<bus::http2_stream> open_stream(int32_t id) override {
    return std::make_shared<bus::grpc_call>(*this, id);
  }
  void on_settings() override {}
  void touch() override {}

  /// A turn of a connection, whose client reads everything.
  bool take(std::span<const char> bytes) {
    if (!session_.feed(bytes))
      return false;
    loop.turn(false);
    std::string out;
    for (int i = 0; i < 4; ++i) {
      out.clear();
      if (!session_.collect(out, 65536))
        return false;
      for (const auto& weak : std::exchange(drained, {}))
        if (const auto c = weak.lock())
          c->ask_source();
      loop.turn(false);
    }
    return !session_.over();
  }

private:
  bus::http2_session session_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static world one;
  if (size == 0)
    return 0;
  const bus::server_policy policy{.max_streams = 16, .max_message_bytes = 4096};
  bus::byte_budget all(policy.max_request_bytes);
  test::fake_front front(one.loop);
  {
    host h(one.loop, front, policy, all);
    std::string bytes;
    if ((data[0] & 1) != 0)
      bytes.assign("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
    bytes.append(reinterpret_cast<const char*>(data) + 1, size - 1);
    const size_t cut = (data[0] & 2) != 0 ? bytes.size() : 1 + (data[0] >> 2);
    for (size_t at = 0; at < bytes.size(); at += cut)
      if (!h.take(std::span(bytes).subspan(at, std::min(cut, bytes.size() - at))))
        break;
    GANTRY_CHECK(h.unread <= 1u << 24);
  }
  GANTRY_CHECK(all.used() == 0);
  front.release();
  while (one.loop.turn(false)) {
  }
  GANTRY_CHECK(front.sources == 0);
  return 0;
}
