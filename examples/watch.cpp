// Watches a supervisor of another process: its containers as they are, then every event.
//
//   watch [SOCKET [EVENTS]]       (ends after so many events; without, never)

#include <cstdio>
#include <cstdlib>

#include <gantry/gantry.hpp>

int main(int argc, char** argv) {
  gantry::connect_options where;
  if (argc > 1)
    where.socket = argv[1];
  long left = argc > 2 ? std::atol(argv[2]) : -1;
  auto connected = gantry::supervisor::connect(where);
  if (!connected) {
    std::fprintf(stderr, "watch: %s\n", connected.why().text().c_str());
    return 1;
  }

  std::promise<int> over;
  gantry::subscribe_options what;
  what.ns = "*";
  what.on_list = [](const gantry::container_list& x) {
    for (const auto& c : x.containers)
      std::printf("container %s %s\n", c.ref.id.c_str(), gantry::name_of(c.state));
    std::printf("events from here on\n");
    std::fflush(stdout);
  };
  what.on_end = [&over](const gantry::error& why) {
    std::fprintf(stderr, "watch: %s\n", why.text().c_str());
    over.set_value(1);
  };
  auto events = (*connected)->subscribe(what, [&](const gantry::event& e) -> gantry::result<void> {
    if (left == 0)
      return {};
    std::printf("%llu %s %s\n", static_cast<unsigned long long>(e.seq), e.type.c_str(),
                e.ref.id.c_str());
    std::fflush(stdout);
    if (--left == 0)
      over.set_value(0);
    return {};
  });
  return over.get_future().get();
}
