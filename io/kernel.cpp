#include "io/kernel.hpp"

#include <cerrno>

namespace gantry::io {

int kernel::dup(int) { return -ENOSYS; }
int kernel::listen(const std::string&) { return -ENOSYS; }
int kernel::take_descriptor(int) { return -ENOSYS; }
int kernel::open_fifo(int, const std::string&, uint32_t) { return -ENOSYS; }
int kernel::socket(int) { return -ENOSYS; }
int kernel::socket_near(int, int, errand) { return -ENOSYS; }
int kernel::datagram_inbox(const std::string&, const std::string&) { return -ENOSYS; }
ssize_t kernel::take_datagram(int, std::span<char>, datagram_note&) { return -ENOSYS; }
int kernel::terminal_readable(int) { return -ENOSYS; }
int kernel::set_terminal_size(int, uint16_t, uint16_t) { return -ENOSYS; }

} // namespace gantry::io
