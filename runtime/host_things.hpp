#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "io/loop.hpp"
#include "messages/gantry.pb.h"
#include "messages/result.hpp"

namespace gantry::runtime {

/// A device file, as a container is to see it.
struct device_node {
  std::string path;
  char type = 'c'; ///< c or b
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t mode = 0; ///< Permissions alone.
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string access = "rwm";
};

/// What a spec names on the host, looked up before a config is made.
struct host_things {
  std::vector<device_node> devices;
  /// gantryd's own bounding set, a bit each as in capabilities(7): it can give no others.
  uint64_t capabilities = UINT64_MAX;
  struct number {
    uint32_t major;
    uint32_t minor;
  };
  std::map<std::string, number> disks; ///< Of the io limits, by path.
};

/// Looks up, through the ring, the devices of a checked spec (all of /dev where it is
/// privileged) and the disks of its io limits; makes sure that bind sources and the seccomp
/// agent's socket exist, and that the host has the security module and gantryd the
/// capabilities that are asked for.
/// @param f On the loop; the error names the path and the option's field.
void find_host_things(io::loop& l, const v1::ContainerSpec& spec,
                      std::function<void(result<host_things>)> f);

} // namespace gantry::runtime
