#pragma once

#include <string>

#include "actors/figures.hpp"
#include "gateways/metrics/exposition.hpp"

namespace gantry::metrics {

/// The figures as a text that Prometheus and its like read.
std::string render(const actors::figures& x, format f);

} // namespace gantry::metrics
