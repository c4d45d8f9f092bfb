#include "runtime/accounts.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t longest_name = 256;
constexpr size_t most_groups = 1024;
constexpr uint32_t nobody = 65534;
constexpr const char* cure = "use a name that is in there, or numbers: UID or UID:GID";

/// -1 means "no change" to the kernel.
std::optional<uint32_t> number_of(std::string_view digits) {
  uint32_t out = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, err] = std::from_chars(digits.data(), end, out);
  if (err != std::errc{} || stop != end || out == 0xffffffff)
    return {};
  return out;
}

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// What useradd(8) of any system makes; `+` and `-` in front mean something else in the files.
bool is_name(std::string_view text) {
  const auto odd = [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == ':' || c == ',' || c == '/' || c == '\x7f';
  };
  return !text.empty() && text.size() <= longest_name && text[0] != '-' && text[0] != '+'
         && text[0] != '#' && !all_digits(text) && is_clean_text(text)
         && std::none_of(text.begin(), text.end(), odd);
}

std::string_view cut(std::string_view& text, char end) {
  const auto at = std::min(text.find(end), text.size());
  const auto out = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return out;
}

/// An entry of either file: `name:password:first:second:…`.
struct entry {
  std::string_view name;
  std::string_view first;
  std::string_view second;
};

/// Calls `f` with each line that has the three or four fields, until it answers true.
template <class F>
void each_entry(std::string_view text, F f) {
  while (!text.empty()) {
    auto line = cut(text, '\n');
    if (std::count(line.begin(), line.end(), ':') < 2)
      continue;
    entry e;
    e.name = cut(line, ':');
    cut(line, ':');
    e.first = cut(line, ':');
    e.second = cut(line, ':');
    if (is_name(e.name) && f(e))
      return;
  }
}

struct account {
  std::string_view name;
  uint32_t uid = 0;
  uint32_t gid = 0;
};

std::optional<account> find_account(const user_words& words, std::string_view passwd) {
  std::optional<account> out;
  each_entry(passwd, [&](const entry& e) {
    const auto uid = number_of(e.first);
    const auto gid = number_of(e.second);
    if (uid && gid && (words.uid ? *uid == *words.uid : e.name == words.user))
      out = account{e.name, *uid, *gid};
    return out.has_value();
  });
  return out;
}

std::optional<uint32_t> find_group(std::string_view name, std::string_view text) {
  std::optional<uint32_t> out;
  each_entry(text, [&](const entry& e) {
    if (e.name == name)
      out = number_of(e.first);
    return out.has_value();
  });
  return out;
}

bool has_member(std::string_view members, std::string_view name) {
  while (!members.empty())
    if (cut(members, ',') == name)
      return true;
  return false;
}

/// The groups that name the user, without its own one.
result<std::vector<uint32_t>> groups_of(const account& who, std::string_view text) {
  std::vector<uint32_t> out;
  each_entry(text, [&](const entry& e) {
    const auto gid = number_of(e.first);
    if (gid && *gid != who.gid && has_member(e.second, who.name))
      out.push_back(*gid);
    return false;
  });
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  if (out.size() > most_groups)
    return error{ec::resource_exhausted,
                 "user: " + shown(who.name) + " is in more than 1024 groups of the container",
                 "name the group that it is to have: USER:GROUP"};
  return out;
}

error not_there(const std::string& what, std::string_view name, const char* file,
                const char* how = cure) {
  return {ec::invalid_argument,
          what + " " + shown(name) + " in the container's " + file, how};
}

} // namespace

result<user_words> parse_user(std::string_view text) {
  user_words out;
  if (text.empty()) {
    out.uid = out.gid = 0;
    return out;
  }
  const size_t colon = text.find(':');
  out.user = text.substr(0, colon);
  out.uid = number_of(out.user);
  bool fine = out.uid || is_name(out.user);
  if (colon != std::string_view::npos) {
    out.group = text.substr(colon + 1);
    out.gid = number_of(out.group);
    fine = fine && (out.gid || is_name(out.group));
  }
  if (!fine)
    return bad("user", shown(text), "use UID or UID:GID, as in 1000:1000, or names");
  return out;
}

result<user_ids> find_user(const user_words& words, std::string_view passwd,
                           std::string_view group) {
  user_ids out;
  const auto found =
    words.complete() ? std::optional<account>{} : find_account(words, passwd);
  if (found) {
    out.uid = found->uid;
    out.gid = found->gid;
  } else if (words.uid) {
    out.uid = *words.uid;
  } else {
    return not_there("user: there is no user", words.user, "/etc/passwd");
  }
  if (words.gid) {
    out.gid = *words.gid;
  } else if (!words.group.empty()) {
    const auto gid = find_group(words.group, group);
    if (!gid)
      return not_there("user: there is no group", words.group, "/etc/group");
    out.gid = *gid;
  } else if (found) {
    auto groups = groups_of(*found, group);
    if (!groups)
      return std::move(groups).why();
    out.groups = std::move(*groups);
  }
  return out;
}

result<std::vector<uint32_t>> find_groups(const std::vector<std::string>& names,
                                          std::string_view group) {
  std::vector<uint32_t> out;
  for (const auto& name : names) {
    const auto gid = find_group(name, group);
    if (!gid)
      return not_there("group_names: there is no group", name, "/etc/group",
                       "use a name that is in there, or its number");
    if (std::find(out.begin(), out.end(), *gid) == out.end())
      out.push_back(*gid);
  }
  return out;
}

bool is_account_name(std::string_view text) { return is_name(text); }

nlohmann::json user_json(const user_words& words) {
  return {{"uid", words.uid.value_or(nobody)},
          {"gid", words.gid.value_or(words.uid && words.group.empty() ? 0 : nobody)}};
}

void put_user(nlohmann::json& process, const user_ids& ids) {
  auto& user = process["user"];
  user["uid"] = ids.uid;
  user["gid"] = ids.gid;
  add_groups(process, ids.groups);
}

void add_groups(nlohmann::json& process, const std::vector<uint32_t>& gids) {
  if (gids.empty())
    return;
  auto& all = process["user"]["additionalGids"];
  for (const auto gid : gids)
    if (std::find(all.begin(), all.end(), nlohmann::json(gid)) == all.end())
      all.push_back(gid);
}

void put_identity(nlohmann::json& process, const identity& ids) {
  if (ids.user)
    put_user(process, *ids.user);
  add_groups(process, ids.groups);
}

} // namespace gantry::runtime
