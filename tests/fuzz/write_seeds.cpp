#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/fuzz/seeds.hpp"

// write_seeds DIR: the seeds of every fuzzer as files, DIR/NAME/seed-N, where libFuzzer looks.

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_seeds DIR\n");
    return 2;
  }
  for (const char* name : {
#define FUZZER(name) #name,
#include "fuzzers.inc"
#undef FUZZER
       }) {
    const auto folder = std::filesystem::path(argv[1]) / name;
    std::filesystem::create_directories(folder);
    size_t n = 0;
    for (const auto& seed : gantry::fuzz::seeds_of(name)) {
      std::ofstream out(folder / ("seed-" + std::to_string(n++)), std::ios::binary);
      out << seed;
      if (!out.flush()) {
        std::fprintf(stderr, "cannot write to %s\n", folder.c_str());
        return 1;
      }
    }
  }
  return 0;
}
