#include "tests/gateways/bus_rig.hpp"

#include <algorithm>
#include <cstdlib>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace gantry::test {

namespace {

std::unique_ptr<io::linux_kernel> make_kernel() {
  auto made = io::linux_kernel::make();
  GANTRY_CHECK(made.ok());
  return std::move(*made);
}

} // namespace

int listen_at(const std::string& path, int type) {
  const int fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (fd < 0 || path.size() >= sizeof at.sun_path)
    return -1;
  std::copy(path.begin(), path.end(), at.sun_path);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 || ::listen(fd, 128) != 0)
    return -1;
  return fd;
}

listener::listener() {
  char name[] = "/tmp/gantry-bus-XXXXXX";
  GANTRY_CHECK(::mkdtemp(name) != nullptr);
  dir_ = name;
  path_ = dir_ + "/bus";
  fd_ = listen_at(path_);
  GANTRY_CHECK(fd_ >= 0);
}

listener::~listener() {
  ::close(fd_);
  ::unlink(path_.c_str());
  ::rmdir(dir_.c_str());
}

bus_rig::bus_rig(bus::server_policy policy)
  : kernel(make_kernel()), loop(*kernel), front(loop),
    server(std::make_unique<bus::server>(loop, front, std::move(policy))) {
  server->listen(socket.fd());
}

bus_rig::~bus_rig() {
  clients.clear();
  if (!stopping_)
    stop(std::chrono::nanoseconds(0));
  GANTRY_CHECK(until([this] { return stopped_; }));
  GANTRY_CHECK(server->connections() == 0 && loop.in_flight() == 0);
  server.reset();
  front.release();
  GANTRY_CHECK(until([this] { return front.sources == 0; }));
}

bus_client& bus_rig::connect_silently() {
  return *clients.emplace_back(std::make_unique<bus_client>(socket.path()));
}

bus_client& bus_rig::connect() {
  auto& c = connect_silently();
  c.greet();
  return c;
}

void bus_rig::step() {
  loop.turn(false);
  for (auto& c : clients)
    c->step();
}

void bus_rig::stop(std::chrono::nanoseconds grace) {
  stopping_ = true;
  server->stop(grace, [this] { stopped_ = true; });
}

bus_answer bus_rig::ask(bus_client& c, const std::string& path, std::string_view message,
                        const field_list& more) {
  const int32_t id = c.call(path, message, more);
  GANTRY_CHECK(until([&c, id] { return c.at(id).closed || c.gone(); }));
  return c.at(id);
}

bool bus_rig::serves() {
  auto& c = connect();
  const auto answer = ask(c, "/gantry.v1.Supervisor/Version", "");
  clients.pop_back();
  return answer.status() == 0 && answer.messages().size() == 1;
}

} // namespace gantry::test
