#include "gateways/bus/grpc_frame.hpp"

#include <algorithm>
#include <cstdint>
#include <google/protobuf/message_lite.h>

namespace gantry::bus {

namespace {

void put_prefix(char* at, size_t length) noexcept {
  at[0] = 0; // not compressed
  at[1] = char(length >> 24);
  at[2] = char(length >> 16);
  at[3] = char(length >> 8);
  at[4] = char(length);
}

bool needs_escape(unsigned char c) noexcept {
  return c < 0x20 || c > 0x7e || c == '%';
}

/// Bytes of the UTF-8 character at the head of `text`: 1 where it is none.
size_t character_bytes(std::string_view text) noexcept {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  return std::min(n, text.size());
}

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  return -1;
}

} // namespace

result<void> frame_reader::read_prefix() {
  const auto flag = static_cast<unsigned char>(prefix_[0]);
  if (flag == 1)
    return error{ec::unsupported, "the request is compressed", "send it with identity encoding"};
  if (flag != 0)
    return error{ec::invalid_argument,
                 "the flag before the request message is " + std::to_string(flag) + ", not 0", ""};
  length_ = 0;
  for (size_t i = 1; i < prefix_bytes; ++i)
    length_ = length_ << 8 | static_cast<unsigned char>(prefix_[i]);
  if (length_ > max_)
    return error{ec::resource_exhausted,
                 "the request message has " + std::to_string(length_) + " bytes, more than " +
                   std::to_string(max_),
                 "send less at once"};
  return {};
}

result<void> frame_reader::feed(std::span<const char> bytes) {
  const auto taken = feed_one(bytes);
  if (!taken)
    return taken.why();
  if (*taken < bytes.size())
    return error{ec::invalid_argument, "more than one request message came", "send one"};
  return {};
}

result<size_t> frame_reader::feed_one(std::span<const char> bytes) {
  const size_t came = bytes.size();
  while (!bytes.empty() && !whole()) {
    if (prefix_have_ < prefix_bytes) {
      const size_t n = std::min(prefix_bytes - prefix_have_, bytes.size());
      std::copy_n(bytes.data(), n, prefix_ + prefix_have_);
      prefix_have_ += n;
      bytes = bytes.subspan(n);
      if (prefix_have_ == prefix_bytes)
        if (auto r = read_prefix(); !r)
          return std::move(r).why();
      continue;
    }
    const size_t n = std::min(length_ - body_.size(), bytes.size());
    body_.append(bytes.data(), n);
    bytes = bytes.subspan(n);
  }
  return came - bytes.size();
}

void frame_reader::next() noexcept {
  forget();
  prefix_have_ = 0;
  length_ = 0;
}

void append_frame(std::string& out, const google::protobuf::MessageLite& message) {
  const size_t length = message.ByteSizeLong();
  const size_t begin = out.size();
  out.resize(begin + prefix_bytes + length);
  put_prefix(out.data() + begin, length);
  message.SerializeWithCachedSizesToArray(
    reinterpret_cast<uint8_t*>(out.data() + begin + prefix_bytes));
}

void append_frame(std::string& out, std::string_view message) {
  char prefix[prefix_bytes];
  put_prefix(prefix, message.size());
  out.append(prefix, prefix_bytes).append(message);
}

std::string percent_encode(std::string_view text, size_t max_bytes) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(std::min(text.size() + 16, max_bytes + 16));
  while (!text.empty()) {
    const size_t before = out.size();
    const size_t n = character_bytes(text);
    for (const char c : text.substr(0, n)) {
      const auto byte = static_cast<unsigned char>(c);
      if (needs_escape(byte))
        out.append({'%', digits[byte >> 4], digits[byte & 15]});
      else
        out.push_back(c);
    }
    if (out.size() > max_bytes) {
      out.resize(before);
      return out.append("...");
    }
    text.remove_prefix(n);
  }
  return out;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
        hex_value(text[i + 2]) >= 0) {
      out.push_back(char(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::optional<io::nanoseconds> parse_timeout(std::string_view text) noexcept {
  if (text.size() < 2 || text.size() > 9)
    return std::nullopt;
  int64_t value = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9')
      return std::nullopt;
    value = value * 10 + (c - '0');
  }
  // Eight digits of hours are 3.6e20 ns: more than 63 bits hold, so it is cut to a century.
  constexpr int64_t century = int64_t{100} * 366 * 24 * 3600 * 1'000'000'000;
  const auto scaled = [value, century](int64_t unit) {
    return io::nanoseconds(value > century / unit ? century : value * unit);
  };
  switch (text.back()) {
  case 'H':
    return scaled(3'600'000'000'000);
  case 'M':
    return scaled(60'000'000'000);
  case 'S':
    return scaled(1'000'000'000);
  case 'm':
    return scaled(1'000'000);
  case 'u':
    return scaled(1'000);
  case 'n':
    return scaled(1);
  default:
    return std::nullopt;
  }
}

} // namespace gantry::bus
