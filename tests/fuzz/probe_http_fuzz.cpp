// Fuzzes the answers of a server to a probe by HTTP, gRPC and TLS, and the text that is kept of a
// probe's output. libFuzzer calls the entry point.

#include <cstddef>
#include <cstdint>
#include <string>

#include "messages/check.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/probe_http.hpp"
#include "runtime/probe_output.hpp"
#include "runtime/probe_talk.hpp"

using namespace gantry;

namespace {

/// What the bytes tell, which come in pieces of this size.
std::string hear(std::string_view bytes, size_t piece) {
  using state = runtime::probe_answer::state;
  runtime::probe_answer answer;
  auto now = state::more;
  for (size_t at = 0; at < bytes.size() && now == state::more; at += piece)
    now = answer.feed(bytes.substr(at, piece));
  if (now == state::more)
    now = answer.end();
  GANTRY_CHECK(now != state::more);
  if (now == state::bad) {
    GANTRY_CHECK(!answer.why().empty() && runtime::is_clean_text(answer.why()));
    return answer.why();
  }
  GANTRY_CHECK(answer.status() >= 200 && answer.status() < 600);
  return std::to_string(answer.status()) + answer.first_line();
}

/// The same of a server of gRPC or TLS, which may answer to what is said meanwhile.
void call(runtime::probe_kind kind, std::string_view bytes, size_t piece) {
  using state = runtime::probe_talk::state;
  runtime::probe_question q;
  q.kind = kind;
  q.port = 80;
  q.path = "/";
  const auto talk = std::move(runtime::talk_of(q)).value();
  auto now = state::more;
  for (size_t at = 0; at < bytes.size() && now == state::more; at += piece) {
    GANTRY_CHECK(talk->output().size() < 1u << 20);
    now = talk->feed(bytes.substr(at, piece));
  }
  if (now == state::more)
    now = talk->end();
  GANTRY_CHECK(now != state::more && !talk->text().empty());
}

std::string keep(std::string_view bytes, size_t most, size_t piece) {
  runtime::probe_output out(most);
  for (size_t at = 0; at < bytes.size(); at += piece)
    out.feed(bytes.substr(at, piece));
  const auto text = out.text();
  GANTRY_CHECK(text.size() <= most && runtime::is_clean_text(text));
  return text;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece = 1 + data[0] % 32;
  // The same bytes, cut differently, mean the same.
  GANTRY_CHECK(hear(text, size) == hear(text, piece));
  call(runtime::probe_kind::grpc, text, piece);
  call(runtime::probe_kind::https, text, piece);
  GANTRY_CHECK(keep(text, data[0], size) == keep(text, data[0], piece));
  return 0;
}
