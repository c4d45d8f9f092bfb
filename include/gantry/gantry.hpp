#pragma once

/// The whole of gantry's library. See supervisor.hpp for the rules of threads and lifetimes.

#include <gantry/keeper.hpp>
#include <gantry/supervisor.hpp>
