#include "io/local_shelf.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace gantry::io {

result<std::unique_ptr<local_shelf>> local_shelf::make(kernel& k, const arena_shape& shape,
                                                       bool sub_reaper) {
  const auto size = arena::size_for(shape);
  if (size == 0)
    return error{ec::invalid_argument, "the arena cannot have this shape", ""};
  fd file{k, ::memfd_create("gantry-arena", MFD_CLOEXEC)};
  if (!file || ::ftruncate(file.get(), static_cast<off_t>(size)) != 0)
    return from_errno(errno, "make", "the arena");
  auto* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (at == MAP_FAILED)
    return from_errno(errno, "map", "the arena");
  std::unique_ptr<local_shelf> out{new local_shelf(k, {static_cast<std::byte*>(at), size})};
  if (sub_reaper && ::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
    return from_errno(errno, "become", "a sub-reaper");
  std::string boot_id;
  if (auto res = k.read_small("/proc/sys/kernel/random/boot_id", boot_id); res < 0)
    return from_errno(-res, "read", "the boot id");
  while (!boot_id.empty() && boot_id.back() == '\n')
    boot_id.pop_back();
  out->arena_ = arena::make(out->memory_, shape, boot_id.c_str());
  GANTRY_CHECK(bool(out->arena_));
  out->arena_.header().generation.store(1);
  return out;
}

local_shelf::~local_shelf() { ::munmap(memory_.data(), memory_.size()); }

result<std::vector<fd>> local_shelf::copies(std::span<const int> fds) const {
  std::vector<fd> out;
  for (int number : fds) {
    fd copy{kernel_, ::fcntl(number, F_DUPFD_CLOEXEC, 0)};
    if (!copy)
      return from_errno(errno, "duplicate", "a descriptor for the shelf");
    out.push_back(std::move(copy));
  }
  return out;
}

result<void> local_shelf::put(const shelf_key& key, const shelf_note& note,
                              std::span<const int> fds) {
  GANTRY_CHECK(fds.size() <= shelf_max_fds);
  auto mine = copies(fds);
  if (!mine)
    return std::move(mine).why();
  entries_[key] = {note, std::move(*mine)};
  return {};
}

result<void> local_shelf::drop(const shelf_key& key) {
  entries_.erase(key);
  return {};
}

result<std::vector<shelf_entry>> local_shelf::list() {
  std::vector<shelf_entry> out;
  for (const auto& [key, what] : entries_) {
    std::vector<int> numbers;
    for (const auto& x : what.fds)
      numbers.push_back(x.get());
    auto theirs = copies(numbers);
    if (!theirs)
      return std::move(theirs).why();
    out.push_back({key, what.note, std::move(*theirs)});
  }
  return out;
}

} // namespace gantry::io
