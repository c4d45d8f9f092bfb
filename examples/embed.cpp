// A supervisor inside a program: runs a container, feeds it, reads what it says, hears of its
// end.
//
//   embed DIRECTORY ROOTFS [PARENT]
//
// As root. DIRECTORY keeps state, journal and logs; containers live in the cgroup /PARENT. With
// `gantry-keeper -- embed DIRECTORY ROOTFS` it would find its containers again after a kill -9.

#include <cstdio>
#include <unistd.h>

#include <gantry/gantry.hpp>

namespace {

int failed(const gantry::error& why) {
  std::fprintf(stderr, "embed: %s\n", why.text().c_str());
  return 1;
}

void copy(int from, const char* name) {
  char part[4096];
  for (ssize_t n; (n = ::read(from, part, sizeof(part))) > 0;)
    std::printf("%s: %.*s", name, int(n), part);
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: embed DIRECTORY ROOTFS [PARENT]\n");
    return 64;
  }
  const std::string directory = argv[1];
  auto started = gantry::supervisor::start({
    .state_dir = directory + "/state",
    .root_dir = directory + "/root",
    .cgroup_parent = argc > 3 ? argv[3] : "gantry",
  });
  if (!started)
    return failed(started.why());
  auto& supervisor = **started;

  // Events come on the library's thread. An error would bring the same one again.
  auto events = supervisor.subscribe({}, [](const gantry::event& e) -> gantry::result<void> {
    std::printf("event: %s %s\n", e.type.c_str(), e.ref.id.c_str());
    return {};
  });

  gantry::create_request create;
  create.ref = "greeter";
  create.spec.rootfs = argv[2];
  create.spec.args = {"/bin/sh", "-c", "read name; echo hello, $name; exit 3"};
  create.spec.with_stdin = true;
  create.stdio.in = true;
  std::promise<gantry::io_bundle> streams;
  create.on_stdio = [&streams](gantry::io_bundle x) { streams.set_value(std::move(x)); };
  if (auto made = supervisor.create(create).get(); !made)
    return failed(made.why());

  auto io = streams.get_future().get();
  if (::write(io.in(), "gantry\n", 7) != 7)
    return failed({gantry::ec::internal, "the input was not taken", ""});
  copy(io.out(), "out");
  copy(io.err(), "err");

  auto ended = supervisor.wait({.ref = "greeter"}).get();
  if (!ended)
    return failed(ended.why());
  std::printf("exit: %d\n", ended->exit.shell_code());
  if (auto gone = supervisor.remove({.ref = "greeter"}).get(); !gone)
    return failed(gone.why());
  supervisor.stop(true); // All events have been handed on when this returns.
  return 0;
}
