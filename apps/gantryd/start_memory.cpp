#include "start_memory.hpp"

#include <cstdint>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

namespace gantry::daemon {

namespace {

/// Only segments that cannot be written: their pages are the file's, none is lost.
int give_back(dl_phdr_info* object, size_t, void* sum) noexcept {
  const auto page = uintptr_t(::sysconf(_SC_PAGESIZE));
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0)
      continue;
    const auto begin = (object->dlpi_addr + segment.p_vaddr) & ~(page - 1);
    const auto end = object->dlpi_addr + segment.p_vaddr + segment.p_filesz;
    if (::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED) == 0)
      *static_cast<size_t*>(sum) += end - begin;
  }
  return 0;
}

} // namespace

size_t give_back_start_memory() noexcept {
  size_t sum = 0;
  ::dl_iterate_phdr(give_back, &sum);
  ::malloc_trim(0);
  return sum;
}

} // namespace gantry::daemon
