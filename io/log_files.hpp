#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/kernel.hpp"

namespace gantry::io {

/// Where the log files of a process lie: `DIR/log.000001` and so on; the highest number is
/// the one being written.
std::string log_file_path(const std::string& dir, uint64_t seq);

/// The same file packed by zstd (`log.000001.zst`), and the index of a raw one (`….idx`).
std::string log_packed_path(const std::string& dir, uint64_t seq);
std::string log_index_path(const std::string& dir, uint64_t seq);

/// The number in the name of a log file (`log.000001`, `log.000001.zst`), or 0 if it is none.
uint64_t log_file_seq(std::string_view name) noexcept;

/// The numbers of the log files that are in `dir`, ascending. One directory read.
/// @returns 0 or a negated errno; a directory that is not there is empty.
int list_log_files(kernel& k, const std::string& dir, std::vector<uint64_t>& out);

} // namespace gantry::io
