#pragma once

#include <cstdint>

namespace gantry::io {

/// How a log's records lie in its files.
enum class log_format : uint8_t {
  json_file, ///< A JSON object for each line, as Docker writes it: io/json_log.hpp.
  cri,       ///< A line for each line, as Kubernetes reads it: io/cri_log.hpp.
  raw,       ///< The bytes as they are, with an index beside: io/raw_log.hpp.
};

} // namespace gantry::io
