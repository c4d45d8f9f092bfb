#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/loop.hpp"
#include "messages/result.hpp"

// Users and groups of a container: what a spec says of them, and what its own /etc/passwd and
// /etc/group (passwd(5), group(5)) make of it.

namespace gantry::runtime {

/// A user as a spec names it: `UID`, `UID:GID`, or names in the place of either number.
struct user_words {
  std::string user; ///< As it was written.
  std::optional<uint32_t> uid; ///< Absent: `user` is a name.
  std::string group; ///< Empty: none was written.
  std::optional<uint32_t> gid;

  /// Whether everything has been said, by numbers: no file needs to be read.
  [[nodiscard]] bool complete() const noexcept { return uid && gid; }
};

/// @returns root (0:0) for an empty text; invalid_argument for what can be neither a number
/// below 4294967295 nor a name.
result<user_words> parse_user(std::string_view text);

/// A user by numbers.
struct user_ids {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups; ///< Further ones, in rising order, without `gid`.

  bool operator==(const user_ids&) const = default;
};

/// Numbers for the words, from the two files' texts. As docker does it: a user that is in
/// `passwd` has the group that stands there and those of `group` that name it, unless the words
/// name a group: then that one alone. A UID that is not there is taken as it is, with group 0.
/// Lines that are no entries are skipped; of two entries the first one holds.
/// @returns invalid_argument for a name that is not there, resource_exhausted for a user of
/// more than 1024 groups.
result<user_ids> find_user(const user_words& words, std::string_view passwd,
                           std::string_view group);

/// The numbers of groups by name, in their order, each once.
/// @returns invalid_argument for a name that is not there.
result<std::vector<uint32_t>> find_groups(const std::vector<std::string>& names,
                                          std::string_view group);

/// Whether a text may be the name of a group, or of a user.
bool is_account_name(std::string_view text);

/// What a spec says by name of who a process is.
struct identity_words {
  std::string user; ///< Empty: it stays who it is.
  std::vector<std::string> groups;

  [[nodiscard]] bool empty() const noexcept { return user.empty() && groups.empty(); }
};

/// The words of a container's or a process's spec.
template <class Spec>
identity_words identity_of(const Spec& spec) {
  return {spec.user(), {spec.group_names().begin(), spec.group_names().end()}};
}

/// The same by numbers.
struct identity {
  std::optional<user_ids> user; ///< None: none was named.
  std::vector<uint32_t> groups; ///< Those that were named.
};

/// Finds them in the files below `rootfs`: links are followed as inside it (none leads out, an
/// absolute one begins at `rootfs`), at most 1 MiB each, read through the ring. A file that cannot
/// be read counts as empty, and is named in the error when a name was wanted from it. Reads nothing
/// where the words are complete.
/// @param words The user has passed `parse_user`.
/// @param f On the loop, never within this call.
void look_up_identity(io::loop& l, std::string rootfs, const identity_words& words,
                      std::function<void(result<identity>)> f);

/// The same for a further process of a container whose config.json lies in `bundle`: its root is
/// where the files are.
void look_up_exec_identity(io::loop& l, const std::string& bundle, const identity_words& words,
                           std::function<void(result<identity>)> f);

/// process.user of a config for the words: numbers as they are. For a name that is not looked
/// up yet it says the kernel's `nobody`, so that a mistake of ours gives no rights away.
nlohmann::json user_json(const user_words& words);

/// Puts the numbers into an OCI process, and the groups beside those that are there.
void put_user(nlohmann::json& process, const user_ids& ids);
void put_identity(nlohmann::json& process, const identity& ids);

/// Further groups of an OCI process, each once.
void add_groups(nlohmann::json& process, const std::vector<uint32_t>& gids);

} // namespace gantry::runtime
