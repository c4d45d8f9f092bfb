// The commands that deal with images: checkpoint and restore.

#include <array>
#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/sim/sim_runtime_command.hpp"

namespace gantry::sim {

using namespace std::chrono_literals;

namespace {

/// In the order in which they are written; the last one says that all are there.
constexpr std::array images{"descriptors.json", "core-1.img", "pages-1.img", "inventory.img",
                            "stats-dump"};

} // namespace

void runtime_command::begin_checkpoint() {
  auto* c = known();
  if (!c)
    return fail("container does not exist", 1);
  if (const auto now = status(*c); now != "running")
    return fail("Container cannot be checkpointed in " + now + " state", 1);
  if (self_.host.files.mkdirs(line_.get("--image-path")) < 0)
    return fail("mkdir " + line_.get("--image-path") + ": no such file or directory", 1);
  dump(0);
}

/// Some time passes between any two images: everything can happen there.
void runtime_command::dump(int image) {
  step(500us, 4ms, [this, image] {
    auto* c = known();
    const auto dir = line_.get("--image-path");
    if (!c || status(*c) != "running") {
      self_.host.files.put(dir + "/dump.log", "(00.1) Error (criu/seize.c:1): no such process\n");
      return fail("criu failed: type NOTIFY errno 0\nlog file: " + dir + "/dump.log", 1);
    }
    self_.host.files.put(dir + "/" + images[size_t(image)], c->id);
    if (size_t(image) + 1 < images.size())
      return dump(image + 1);
    end_dump();
  });
}

void runtime_command::end_dump() {
  if (line_.has("--leave-running"))
    return step(200us, 1ms, [this] { self_.exit(0); });
  if (auto init = known()->init.lock())
    self_.host.signal(*init, SIGKILL);
  step(200us, 1ms, [this] { poll_until_dead(0); });
}

void runtime_command::begin_restore() {
  step(2ms, 6ms, [this] {
    const auto dir = line_.get("--image-path");
    if (!self_.host.files.exists(dir + "/" + images.back())) {
      self_.host.files.put(dir + "/restore.log", "(00.1) Error (criu/image.c:1): no image\n");
      return fail("criu failed: type NOTIFY errno 0\nlog file: " + dir + "/restore.log", 1);
    }
    begin_create();
  });
}

} // namespace gantry::sim
