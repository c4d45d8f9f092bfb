#include <array>

#include "runtime/engine.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/runtime_errors.hpp"

namespace gantry::runtime {

namespace {

constexpr std::array<std::string_view, 6> usual_places{
  "/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"};

std::string in_usual_places(io::kernel& k, const std::string& name) {
  for (auto place : usual_places)
    if (auto path = std::string(place) + name; k.exists(path) == 1)
      return path;
  return {};
}

} // namespace

result<std::string> find_runtime(io::kernel& k, const std::string& wanted, bool pure_v2) {
  if (wanted.empty()) {
    if (pure_v2)
      if (auto crun = in_usual_places(k, "crun"); !crun.empty())
        return crun;
    if (auto runc = in_usual_places(k, "runc"); !runc.empty())
      return runc;
    return error{ec::runtime_missing, "no OCI runtime was found in /usr/sbin, /usr/bin or beside",
                 "apt-get install runc"};
  }
  if (!pure_v2 && base_name(wanted) == "crun")
    return error{ec::unsupported,
                 "runtime " + shown(wanted) + ": crun needs a host with cgroup v2 only, and this "
                                              "one has v1 controllers",
                 "use runc"};
  bool is_path = wanted.find('/') != std::string::npos;
  if (is_path && wanted.front() != '/')
    return error{ec::invalid_argument, "runtime " + shown(wanted) + ": is a relative path",
                 "use a name such as runc, or an absolute path"};
  auto found = wanted;
  if (is_path ? k.exists(wanted) != 1 : (found = in_usual_places(k, wanted)).empty())
    return error{ec::runtime_missing, "runtime " + shown(wanted) + ": does not exist",
                 "install it (apt-get install runc), or name another"};
  return found;
}

} // namespace gantry::runtime
