#include "io/op_errno.hpp"

#include <cstdio>
#include <cstring>

#include "messages/check.hpp"

namespace gantry::io {

void impossible(const char* op_name, int32_t res) noexcept {
  char text[128];
  const char* name = ::strerrorname_np(-res);
  std::snprintf(text, sizeof(text), "the op %s cannot end with %s (%d)", op_name,
                name ? name : "an unknown errno", res);
  check_failed(text, __FILE__, __LINE__);
}

} // namespace gantry::io
