#pragma once

// In the tree these are the words of all rooms; installed, this file is that one itself.
#include "messages/error.hpp"
