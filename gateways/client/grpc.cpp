#include "gateways/client/grpc.hpp"

#include <array>

namespace gantry::client {

namespace {

constexpr size_t prefix_bytes = 5;

/// Length in the prefix at the head of `bytes`, which holds at least `prefix_bytes`.
size_t length_at(std::string_view bytes) {
  size_t n = 0;
  for (size_t i = 1; i < prefix_bytes; ++i)
    n = n << 8 | static_cast<uint8_t>(bytes[i]);
  return n;
}

result<void> check_prefix(std::string_view bytes) {
  if (bytes[0] != 0)
    return error{ec::internal, "gantryd sent a compressed message", "use the same version of both"};
  if (length_at(bytes) > max_message_bytes)
    return error{ec::resource_exhausted,
                 "gantryd sent a message of " + std::to_string(length_at(bytes)) + " bytes",
                 "at most 64 MiB are taken"};
  return {};
}

int hex_value(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

} // namespace

result<void> message_cutter::feed(std::string_view bytes, const sink& f) {
  while (!bytes.empty()) {
    if (rest_.empty() && bytes.size() >= prefix_bytes) {
      // The usual case: whole messages in one piece need no copy.
      if (auto fine = check_prefix(bytes); !fine)
        return fine;
      const size_t whole = prefix_bytes + length_at(bytes);
      if (bytes.size() >= whole) {
        f(bytes.substr(prefix_bytes, whole - prefix_bytes));
        bytes.remove_prefix(whole);
        continue;
      }
    }
    size_t want = prefix_bytes;
    if (rest_.size() >= prefix_bytes) {
      if (auto fine = check_prefix(rest_); !fine)
        return fine;
      want += length_at(rest_);
    }
    const size_t take = std::min(bytes.size(), want - rest_.size());
    rest_.append(bytes.substr(0, take));
    bytes.remove_prefix(take);
    if (rest_.size() < prefix_bytes || rest_.size() < prefix_bytes + length_at(rest_))
      continue;
    const std::string whole = std::move(rest_);
    rest_.clear();
    f(std::string_view(whole).substr(prefix_bytes));
  }
  return {};
}

std::string framed(std::string_view message) {
  std::string out(prefix_bytes, '\0');
  for (size_t i = 0; i < 4; ++i)
    out[1 + i] = static_cast<char>(message.size() >> (24 - 8 * i) & 0xff);
  out.append(message);
  return out;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
                        hex_value(text[i + 2]) >= 0;
    if (!escape) {
      out.push_back(text[i]);
      continue;
    }
    out.push_back(static_cast<char>(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2])));
    i += 2;
  }
  return out;
}

ec code_of_grpc(int status) noexcept {
  // grpc.io "Status codes", in their order.
  constexpr std::array codes{
    ec::internal,           ec::cancelled,   ec::unknown_outcome, ec::invalid_argument,
    ec::deadline_exceeded,  ec::not_found,   ec::already_exists,  ec::permission_denied,
    ec::resource_exhausted, ec::wrong_state, ec::cancelled,       ec::invalid_argument,
    ec::unsupported,        ec::internal,    ec::unavailable,     ec::data_loss,
    ec::permission_denied,
  };
  return status >= 0 && size_t(status) < codes.size() ? codes[size_t(status)] : ec::internal;
}

} // namespace gantry::client
