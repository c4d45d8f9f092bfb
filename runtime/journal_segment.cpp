#include "runtime/journal_segment.hpp"

#include <charconv>
#include <cstdio>
#include <cstring>

#include "runtime/crc32c.hpp"
#include "runtime/journal.hpp"

namespace gantry::runtime {

namespace {

template <class T>
void put(char* to, T value) noexcept {
  std::memcpy(to, &value, sizeof value);
}

template <class T>
T get(const char* from) noexcept {
  T value{};
  std::memcpy(&value, from, sizeof value);
  return value;
}

error damaged(std::string_view file, const std::string& what) {
  return {ec::data_loss, "journal file " + std::string(file) + ": " + what,
          "gantry journal --repair DIR sets the damaged file aside and keeps what is whole"};
}

error too_new(std::string_view file, uint32_t version) {
  return {ec::unsupported,
          "journal file " + std::string(file) + " has format " + std::to_string(version) +
            ", this gantry reads up to " + std::to_string(journal_format),
          "start the newer gantry that wrote it"};
}

/// CRC of a header with its own CRC field (4 bytes at `crc_at`) taken as zero.
uint32_t header_crc(std::span<const char> header, size_t crc_at) noexcept {
  static constexpr char zeros[4] = {};
  auto crc = crc32c(header.first(crc_at));
  crc = crc32c(zeros, crc);
  return crc32c(header.subspan(crc_at + 4), crc);
}

std::string numbered(const char* prefix, uint64_t n) {
  char text[48];
  std::snprintf(text, sizeof text, "%s%020llu", prefix, static_cast<unsigned long long>(n));
  return text;
}

} // namespace

std::string segment_name(uint64_t first_seq) { return numbered("segment.", first_seq); }
std::string snapshot_name(uint64_t seq) { return numbered("snapshot.", seq); }

std::optional<uint64_t> number_in(std::string_view name, std::string_view prefix) {
  if (name.size() != prefix.size() + 21 || !name.starts_with(prefix) || name[prefix.size()] != '.')
    return std::nullopt;
  auto digits = name.substr(prefix.size() + 1);
  uint64_t n = 0;
  auto [end, err] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  if (err != std::errc() || end != digits.data() + digits.size())
    return std::nullopt;
  return n;
}

uint64_t hash_boot_id(std::string_view boot_id) noexcept {
  uint64_t h = 0xcbf29ce484222325;
  for (char c : boot_id)
    h = (h ^ uint8_t(c)) * 0x100000001b3;
  return h;
}

// magic 0, version 8, crc 12, first_seq 16, epoch 24, boot 32, created 40
std::array<char, segment_header_bytes> encode(const segment_header& h) noexcept {
  std::array<char, segment_header_bytes> out{};
  put(&out[0], segment_magic);
  put(&out[8], h.version);
  put(&out[16], h.first_seq);
  put(&out[24], h.epoch);
  put(&out[32], h.boot_hash);
  put(&out[40], h.created_ns);
  put(&out[12], header_crc(out, 12));
  return out;
}

// magic 0, version 8, crc of the header 12, seq 16, payload bytes 24, payload crc 28
std::array<char, snapshot_header_bytes> encode(const snapshot_header& h, size_t payload_bytes,
                                               uint32_t payload_crc) noexcept {
  std::array<char, snapshot_header_bytes> out{};
  put(&out[0], snapshot_magic);
  put(&out[8], h.version);
  put(&out[16], h.seq);
  put(&out[24], uint32_t(payload_bytes));
  put(&out[28], payload_crc);
  put(&out[12], header_crc(out, 12));
  return out;
}

result<segment_header> decode_segment_header(std::span<const char> bytes, std::string_view file) {
  if (bytes.size() < segment_header_bytes)
    return damaged(file, "ends within its header");
  if (get<uint64_t>(&bytes[0]) != segment_magic)
    return damaged(file, "is no journal segment (wrong magic at byte 0)");
  auto header = bytes.first(segment_header_bytes);
  segment_header h;
  h.version = get<uint32_t>(&bytes[8]);
  // A newer version may lay out the rest as it likes; but a flipped bit is no version.
  bool whole = get<uint32_t>(&bytes[12]) == header_crc(header, 12);
  if (h.version > journal_format && (whole || h.version < 1024))
    return too_new(file, h.version);
  if (!whole || h.version == 0)
    return damaged(file, "has a damaged header (CRC at byte 12)");
  h.first_seq = get<uint64_t>(&bytes[16]);
  h.epoch = get<uint64_t>(&bytes[24]);
  h.boot_hash = get<uint64_t>(&bytes[32]);
  h.created_ns = get<int64_t>(&bytes[40]);
  return h;
}

result<journal::Snapshot> decode_snapshot(std::span<const char> bytes, std::string_view file) {
  if (bytes.size() < snapshot_header_bytes)
    return damaged(file, "ends within its header");
  if (get<uint64_t>(&bytes[0]) != snapshot_magic)
    return damaged(file, "is no snapshot (wrong magic at byte 0)");
  auto header = bytes.first(snapshot_header_bytes);
  auto version = get<uint32_t>(&bytes[8]);
  bool whole = get<uint32_t>(&bytes[12]) == header_crc(header, 12);
  if (version > journal_format && (whole || version < 1024))
    return too_new(file, version);
  if (!whole || version == 0)
    return damaged(file, "has a damaged header (CRC at byte 12)");
  auto payload = bytes.subspan(snapshot_header_bytes);
  if (payload.size() != get<uint32_t>(&bytes[24]))
    return damaged(file, "has " + std::to_string(payload.size()) +
                           " bytes behind its header, not " +
                           std::to_string(get<uint32_t>(&bytes[24])));
  if (crc32c(payload) != get<uint32_t>(&bytes[28]))
    return damaged(file, "is damaged (CRC of its content)");
  journal::Snapshot s;
  if (!s.ParseFromArray(payload.data(), int(payload.size())))
    return damaged(file, "does not hold a snapshot");
  s.set_seq(get<uint64_t>(&bytes[16]));
  return s;
}

void seal_record(char* to, uint32_t payload_bytes, uint64_t seq) noexcept {
  put(to, payload_bytes);
  put(to + 8, seq);
  put(to + 4, crc32c({to + 8, payload_bytes + 8}));
}

frame_result read_frame(std::span<const char> at) noexcept {
  frame_result out;
  using kind = frame_result::kind_t;
  if (at.empty())
    return out;
  if (at.size() < record_header_bytes) {
    bool zeros = true;
    for (char c : at)
      zeros = zeros && c == 0;
    out.kind = zeros ? kind::end : kind::partial;
    return out;
  }
  auto length = get<uint32_t>(&at[0]);
  auto crc = get<uint32_t>(&at[4]);
  out.record.seq = get<uint64_t>(&at[8]);
  if (length == 0 && crc == 0 && out.record.seq == 0)
    return out;
  if (length > max_record_bytes || out.record.seq == 0) {
    out.kind = kind::damaged;
    return out;
  }
  if (at.size() - record_header_bytes < length) {
    out.kind = kind::partial;
    return out;
  }
  out.record.bytes = record_header_bytes + length;
  out.record.payload = at.subspan(record_header_bytes, length);
  out.kind = crc32c(at.subspan(8, length + 8)) == crc ? kind::record : kind::damaged;
  return out;
}

std::optional<size_t> find_next_record(std::span<const char> bytes, size_t from, uint64_t after) {
  constexpr uint64_t reach = 1ull << 32;
  for (size_t i = from; i + record_header_bytes <= bytes.size(); ++i) {
    auto seq = get<uint64_t>(&bytes[i + 8]);
    if (seq <= after || seq - after >= reach)
      continue; // Cheap, and nearly always enough.
    auto x = read_frame(bytes.subspan(i));
    if (x.kind == frame_result::kind_t::record)
      return i;
  }
  return std::nullopt;
}

segment_end walk_records(std::span<const char> bytes, size_t from, uint64_t after,
                         const std::function<void(const journal::Record&, size_t)>& f) {
  segment_end out;
  out.offset = from;
  out.last_seq = after;
  journal::Record r;
  using kind = frame_result::kind_t;
  for (;;) {
    auto x = read_frame(bytes.subspan(out.offset));
    bool good = x.kind == kind::record;
    if (good && x.record.seq <= out.last_seq) {
      good = false;
      out.what = "a record repeats seq " + std::to_string(x.record.seq);
    } else if (good && (!r.ParseFromArray(x.record.payload.data(), int(x.record.payload.size())) ||
                        r.seq() != x.record.seq)) {
      good = false;
      out.what = "a whole record does not hold what its header says";
    }
    if (good) {
      out.offset += x.record.bytes;
      out.last_seq = x.record.seq;
      f(r, out.offset);
      continue;
    }
    out.hole = x.kind == kind::end;
    if (auto next = find_next_record(bytes, out.offset + 1, out.last_seq)) {
      out.kind = segment_end::kind_t::damaged;
      out.resume = *next;
    } else if (!out.what.empty()) {
      out.kind = segment_end::kind_t::damaged;
    } else if (x.kind == kind::end && bytes.size() - out.offset <= record_header_bytes) {
      out.kind = segment_end::kind_t::clean;
    } else {
      bool zeros = true;
      for (size_t i = out.offset; i < bytes.size() && zeros; ++i)
        zeros = bytes[i] == 0;
      out.kind = zeros ? segment_end::kind_t::clean : segment_end::kind_t::torn;
    }
    return out;
  }
}

} // namespace gantry::runtime
