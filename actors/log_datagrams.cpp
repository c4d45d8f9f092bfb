#include <ctime>

#include "actors/log_forward.hpp"

namespace gantry::actors {

namespace {

constexpr int info = 6;
constexpr int err = 3;
constexpr int daemon_facility = 3 << 3;

int severity_of(const io::log_piece& piece) { return piece.stream == 2 ? err : info; }

/// `NAME=value`, or the form with a length where the value holds a newline.
void field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  if (value.find('\n') == std::string_view::npos) {
    out += '=';
    out += value;
    out += '\n';
    return;
  }
  out += '\n';
  for (uint64_t size = value.size(), i = 0; i < 8; ++i, size >>= 8)
    out += static_cast<char>(size & 0xff);
  out += value;
  out += '\n';
}

} // namespace

std::string journal_datagram(const process_names& who, const io::log_piece& piece,
                             std::string_view text, bool partial) {
  std::string out;
  field(out, "MESSAGE", text);
  field(out, "PRIORITY", std::to_string(severity_of(piece)));
  field(out, "SYSLOG_IDENTIFIER", who.container.id);
  field(out, "CONTAINER_NAME", who.container.id);
  field(out, "CONTAINER_NAMESPACE", who.container.ns);
  field(out, "CONTAINER_INSTANCE", std::to_string(who.instance));
  field(out, "CONTAINER_PROCESS", who.process);
  field(out, "CONTAINER_STREAM", piece.stream == 2 ? "stderr" : "stdout");
  if (partial)
    field(out, "CONTAINER_PARTIAL_MESSAGE", "true");
  field(out, "GANTRY_LOG_SEQ", std::to_string(piece.seq));
  field(out, "SYSLOG_TIMESTAMP_NS", std::to_string(piece.time_ns));
  return out;
}

std::string syslog_datagram(const process_names& who, const io::log_piece& piece,
                            std::string_view text) {
  const std::time_t seconds = piece.time_ns / 1'000'000'000;
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char stamp[32] = {};
  static constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::snprintf(stamp, sizeof(stamp), "%s %2d %02d:%02d:%02d", months[local.tm_mon % 12],
                local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec);
  std::string out = "<";
  out.append(std::to_string(daemon_facility | severity_of(piece))).append(">");
  out += stamp;
  out += " ";
  out += who.container.id;
  out += ": ";
  out += text;
  return out;
}

} // namespace gantry::actors
