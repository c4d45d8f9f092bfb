#include "io/page_buffer.hpp"

#include <algorithm>
#include <sys/mman.h>

#include "messages/check.hpp"

namespace gantry::io {

namespace {

constexpr size_t least_bytes = 64 * 1024;

} // namespace

page_buffer& page_buffer::operator=(page_buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

page_buffer::~page_buffer() {
  if (data_ != nullptr)
    ::munmap(data_, capacity_);
}

void page_buffer::extend(size_t needed) {
  size_t want = std::max({needed, capacity_ * 2, least_bytes});
  want = (want + 4095) & ~size_t(4095);
  void* where = data_ == nullptr ? ::mmap(nullptr, want, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                                 : ::mremap(data_, capacity_, want, MREMAP_MAYMOVE);
  GANTRY_CHECK(where != MAP_FAILED);
  data_ = static_cast<char*>(where);
  capacity_ = want;
}

} // namespace gantry::io
