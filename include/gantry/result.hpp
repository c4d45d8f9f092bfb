#pragma once

// In the tree this is the result of all rooms; installed, this file is that one itself.
#include "messages/result.hpp"
