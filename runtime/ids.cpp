#include "runtime/ids.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "runtime/foreign_text.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t max_id = 128;
constexpr size_t max_namespace = 63;

constexpr bool is_alnum(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

constexpr char upper(char c) noexcept {
  return c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c;
}

/// What a name may be made of.
struct name_rule {
  std::string_view what;    ///< `container id`
  std::string_view pattern; ///< For the cure.
  std::string_view extra;   ///< Characters allowed behind the first, beside letters and digits.
  size_t max_bytes;
};

constexpr name_rule id_rule{"container id", "[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", "_.-", max_id};
constexpr name_rule process_rule{"process id", id_rule.pattern, "_.-", max_id};
constexpr name_rule namespace_rule{"namespace", "[A-Za-z0-9][A-Za-z0-9_-]{0,62}", "_-",
                                   max_namespace};

error refused(const name_rule& rule, std::string_view text, std::string_view why) {
  error out{ec::invalid_argument, {}, {}};
  out.message.append(rule.what).append(" ").append(shown(text)).append(": ").append(why);
  out.cure.append("use ").append(rule.pattern);
  return out;
}

result<std::string> checked(const name_rule& rule, std::string_view text) {
  if (text.empty())
    return refused(rule, text, "is empty");
  if (text.size() > rule.max_bytes)
    return refused(rule, text,
                   "has " + std::to_string(text.size()) + " characters, at most "
                     + std::to_string(rule.max_bytes) + " are allowed");
  if (!is_alnum(text.front()))
    return refused(rule, text, "must begin with a letter or a digit");
  for (char c : text)
    if (!is_alnum(c) && rule.extra.find(c) == std::string_view::npos)
      return refused(rule, text, "the character " + shown({&c, 1}) + " is not allowed");
  return std::string(text);
}

struct signal_row {
  int number;
  std::string_view name;
};

/// Numbers of x86 and arm (signal(7)); the first name of a number is the one that is shown.
constexpr std::array signals{
  signal_row{1, "HUP"},     signal_row{2, "INT"},     signal_row{3, "QUIT"},
  signal_row{4, "ILL"},     signal_row{5, "TRAP"},    signal_row{6, "ABRT"},
  signal_row{6, "IOT"},     signal_row{7, "BUS"},     signal_row{8, "FPE"},
  signal_row{9, "KILL"},    signal_row{10, "USR1"},   signal_row{11, "SEGV"},
  signal_row{12, "USR2"},   signal_row{13, "PIPE"},   signal_row{14, "ALRM"},
  signal_row{15, "TERM"},   signal_row{16, "STKFLT"}, signal_row{17, "CHLD"},
  signal_row{17, "CLD"},    signal_row{18, "CONT"},   signal_row{19, "STOP"},
  signal_row{20, "TSTP"},   signal_row{21, "TTIN"},   signal_row{22, "TTOU"},
  signal_row{23, "URG"},    signal_row{24, "XCPU"},   signal_row{25, "XFSZ"},
  signal_row{26, "VTALRM"}, signal_row{27, "PROF"},   signal_row{28, "WINCH"},
  signal_row{29, "IO"},     signal_row{29, "POLL"},   signal_row{30, "PWR"},
  signal_row{31, "SYS"},    signal_row{31, "UNUSED"},
};

/// glibc keeps the first two real-time signals for itself.
constexpr int rt_min = 34;
constexpr int rt_max = 64;

/// A whole decimal number without sign; -1 if `text` is anything else.
int number_of(std::string_view text) noexcept {
  int value = 0;
  const char* end = text.data() + text.size();
  auto [stop, err] = std::from_chars(text.data(), end, value);
  bool fine = err == std::errc{} && stop == end && !text.empty() && text.front() != '-';
  return fine ? value : -1;
}

/// `RTMIN`, `RTMIN+N`, `RTMAX`, `RTMAX-N`; 0 if it is none of them.
int real_time_signal(std::string_view name) noexcept {
  bool from_min = name.starts_with("RTMIN");
  if (!from_min && !name.starts_with("RTMAX"))
    return 0;
  std::string_view rest = name.substr(5);
  int base = from_min ? rt_min : rt_max;
  if (rest.empty())
    return base;
  if (rest.front() != (from_min ? '+' : '-'))
    return 0;
  int offset = number_of(rest.substr(1));
  if (offset < 0 || offset > rt_max - rt_min)
    return 0;
  return from_min ? base + offset : base - offset;
}

} // namespace

result<container_name> checked_name(const v1::Ref& ref) {
  auto id = checked(id_rule, ref.id());
  if (!id)
    return std::move(id).why();
  if (ref.namespace_().empty())
    return container_name{"default", *std::move(id)};
  auto ns = checked(namespace_rule, ref.namespace_());
  if (!ns)
    return std::move(ns).why();
  return container_name{*std::move(ns), *std::move(id)};
}

result<std::string> checked_process(std::string_view id) {
  return checked(process_rule, id);
}

std::string runtime_id(const container_name& name) {
  return name.ns + "." + name.id;
}

result<int> parse_signal(std::string_view text) {
  int number = number_of(text);
  if (number >= 1 && number <= rt_max)
    return number;
  if (number < 0 && text.size() <= 16) {
    std::string name(text);
    std::transform(name.begin(), name.end(), name.begin(), upper);
    std::string_view bare = name;
    if (bare.starts_with("SIG"))
      bare.remove_prefix(3);
    for (const auto& row : signals)
      if (row.name == bare)
        return row.number;
    if (int rt = real_time_signal(bare))
      return rt;
  }
  return error{ec::invalid_argument, "signal " + shown(text) + ": there is no such signal",
               "use a name or a number from 1 to 64: TERM, SIGTERM, 15, RTMIN+3"};
}

std::string signal_name(int signal) {
  for (const auto& row : signals)
    if (row.number == signal)
      return "SIG" + std::string(row.name);
  return "signal " + std::to_string(signal);
}

} // namespace gantry::runtime
