#pragma once

/// What a program that links the library may call. Everything else is hidden in the shared
/// library.
#define GANTRY_API __attribute__((visibility("default")))
