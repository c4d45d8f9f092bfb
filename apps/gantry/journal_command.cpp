#include <array>
#include <cerrno>
#include <filesystem>

#include <unistd.h>

#include "apps/gantry/session.hpp"

namespace gantry::cli {

namespace {

/// Beside this program, where a build and an installation have it.
std::vector<std::string> journal_programs() {
  std::error_code fault;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", fault).parent_path();
  return {(self / "gantry-journal").string(),
          (self.parent_path() / "libexec/gantry/gantry-journal").string(),
          "/usr/libexec/gantry/gantry-journal"};
}

} // namespace

int journal_command(session& s) {
  // A program of its own: reading the disk needs the runtime's libraries, which would make
  // every other command start more slowly.
  for (const auto& path : journal_programs()) {
    std::vector<std::string> words{"gantry-journal"};
    if (s.opt.json)
      words.emplace_back("--json");
    if (s.opt.repair)
      words.emplace_back("--repair");
    if (s.opt.after > 0)
      words.insert(words.end(), {"--after", std::to_string(s.opt.after)});
    if (!s.opt.argument.empty())
      words.push_back(s.opt.argument);
    std::vector<char*> argv;
    for (auto& w : words)
      argv.push_back(w.data());
    argv.push_back(nullptr);
    ::execv(path.c_str(), argv.data());
    if (errno != ENOENT)
      return failed(from_errno(errno, "run", path));
  }
  return failed({ec::unsupported, "the program gantry-journal is not installed beside gantry",
                 "install it: it reads journals from disk"});
}

} // namespace gantry::cli
