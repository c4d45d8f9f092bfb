#pragma once

#include <string>
#include <string_view>
#include <vector>

// Valid inputs for each fuzzer, made by the code that writes them in earnest: they cannot go
// stale. Mutations of them come further than bytes without any sense.

namespace gantry::fuzz {

/// The seeds of the fuzzer in NAME_fuzz.cpp; none if there is no such fuzzer.
std::vector<std::string> seeds_of(std::string_view name);

} // namespace gantry::fuzz
