#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <google/protobuf/stubs/logging.h>
#include <random>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fuzz/seeds.hpp"

// Runs every fuzzer without libFuzzer: over its seeds, then over random mutations of them.
//
//   fuzz_smoke [--seed N] [--runs N] [--only NAME] [--crashes DIR] [FILE...]
//
// Each fuzzer has a process of its own. The input at which one dies is kept in DIR
// (default: crashes) as NAME-SEED. With FILEs, and one NAME, those are fed instead.

#define FUZZER(name) extern "C" int name##_fuzz_entry(const uint8_t*, size_t);
#include "fuzzers.inc"
#undef FUZZER

namespace {

struct fuzzer {
  const char* name;
  int (*run)(const uint8_t*, size_t);
};

constexpr fuzzer fuzzers[] = {
#define FUZZER(name) {#name, name##_fuzz_entry},
#include "fuzzers.inc"
#undef FUZZER
};

struct options {
  uint64_t seed = std::random_device{}();
  uint64_t runs = 20000;
  std::string only;
  std::string crashes = "crashes";
  std::vector<std::string> files;
};

constexpr size_t longest = 4096;
constexpr auto patience = std::chrono::seconds(15); ///< For the mutations of one fuzzer.

/// What is being run, for who looks at it after the crash.
std::string at_hand;
char crash_path[512];

void keep_and_die(int signal) {
  const int fd = ::open(crash_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd >= 0)
    (void)!::write(fd, at_hand.data(), at_hand.size());
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

class mutator {
public:
  mutator(std::vector<std::string> seeds, uint64_t seed)
    : seeds_(std::move(seeds)), random_(seed) {}

  std::string next() {
    std::string text = seeds_[below(seeds_.size())];
    for (size_t n = 1 + below(4); n > 0; --n)
      change(text);
    if (text.size() > longest)
      text.resize(longest);
    return text;
  }

private:
  size_t below(size_t n) { return n == 0 ? 0 : random_() % n; }

  void change(std::string& text) {
    static constexpr unsigned char telling[] = {0, 1, 0x7f, 0x80, 0xff, '"', '\\', '\n', '{', '/'};
    const size_t at = below(text.size());
    switch (text.empty() ? 5 : below(8)) {
    case 0:
      text[at] = char(uint8_t(text[at]) ^ (1u << below(8)));
      break;
    case 1:
      text[at] = char(telling[below(sizeof telling)]);
      break;
    case 2:
      text.erase(at, 1 + below(16));
      break;
    case 3:
      text.resize(at);
      break;
    case 4:
      text.insert(at, text.substr(below(text.size()), 1 + below(64)));
      break;
    case 5:
      text.insert(at, 1, char(random_()));
      break;
    case 6: { // The head of one and the tail of another.
      const auto& other = seeds_[below(seeds_.size())];
      text.replace(at, std::string::npos, other.substr(below(other.size() + 1)));
      break;
    }
    default: // A length that lies.
      for (size_t i = at; i < std::min(at + 4, text.size()); ++i)
        text[i] = char(telling[below(5)]);
    }
  }

  std::vector<std::string> seeds_;
  std::mt19937_64 random_;
};

void feed(const fuzzer& f, std::string input) {
  at_hand = std::move(input);
  f.run(reinterpret_cast<const uint8_t*>(at_hand.data()), at_hand.size());
}

std::string whole_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "cannot read %s: %s\n", path.c_str(), std::strerror(errno));
    std::exit(2);
  }
  return {std::istreambuf_iterator<char>(in), {}};
}

/// In the fuzzer's own process.
[[noreturn]] void run_one(const fuzzer& f, const options& o) {
  const auto path = o.crashes + "/" + f.name + "-" + std::to_string(o.seed);
  std::snprintf(crash_path, sizeof crash_path, "%s", path.c_str());
  for (int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGALRM})
    ::signal(signal, keep_and_die);
  if (!o.files.empty()) {
    for (const auto& file : o.files)
      feed(f, whole_file(file));
    std::exit(0);
  }
  google::protobuf::SetLogHandler(nullptr); // It tells of each string that is no UTF-8.
  auto seeds = gantry::fuzz::seeds_of(f.name);
  if (seeds.empty()) {
    std::printf("%s: add its seeds to tests/fuzz/seeds.cpp\n", f.name);
    std::exit(1);
  }
  for (const auto& seed : seeds)
    feed(f, seed);
  feed(f, "");
  mutator mutations(std::move(seeds), o.seed);
  const auto end = std::chrono::steady_clock::now() + patience;
  uint64_t done = 0;
  for (; done < o.runs && std::chrono::steady_clock::now() < end; ++done) {
    ::alarm(30); // An input that takes so long is a finding, too.
    feed(f, mutations.next());
  }
  std::printf("%s: %llu mutations\n", f.name, static_cast<unsigned long long>(done));
  std::exit(done == 0 ? 1 : 0);
}

bool passes(const fuzzer& f, const options& o) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0)
    run_one(f, o);
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child)
    return false;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
    return true;
  std::printf("%s: died (status %#x); its input: %s/%s-%llu\n", f.name, unsigned(status),
              o.crashes.c_str(), f.name, static_cast<unsigned long long>(o.seed));
  return false;
}

options parse(int argc, char** argv) {
  options o;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool more = i + 1 < argc;
    if (word == "--seed" && more)
      o.seed = std::strtoull(argv[++i], nullptr, 0);
    else if (word == "--runs" && more)
      o.runs = std::strtoull(argv[++i], nullptr, 0);
    else if (word == "--only" && more)
      o.only = argv[++i];
    else if (word == "--crashes" && more)
      o.crashes = argv[++i];
    else if (!word.starts_with("--"))
      o.files.push_back(word);
    else {
      std::fprintf(stderr, "fuzz_smoke: what is %s?\n", word.c_str());
      std::exit(2);
    }
  }
  return o;
}

} // namespace

int main(int argc, char** argv) {
  const auto o = parse(argc, argv);
  std::filesystem::create_directories(o.crashes);
  std::printf("seed %llu\n", static_cast<unsigned long long>(o.seed));
  int passed = 0;
  int failed = 0;
  for (const auto& f : fuzzers) {
    if (o.only.empty() || o.only == f.name)
      ++(passes(f, o) ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed != 0 || passed == 0 ? 1 : 0;
}
