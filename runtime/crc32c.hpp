#pragma once

#include <cstdint>
#include <span>

namespace gantry::runtime {

/// CRC-32C (Castagnoli, reflected, as in iSCSI, RFC 3720): by SSE 4.2's instruction where the
/// processor has it, else by table. A running value may be handed in to go on with.
uint32_t crc32c(std::span<const char> bytes, uint32_t from = 0) noexcept;

/// The same by table: what stands in for the instruction.
uint32_t crc32c_by_table(std::span<const char> bytes, uint32_t from = 0) noexcept;

} // namespace gantry::runtime
