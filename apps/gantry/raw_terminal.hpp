#pragma once

#include "messages/gantry.pb.h"

namespace gantry::cli {

/// Our own terminal in raw mode while this lives: keys go to the process as they are. It is
/// put back at the end of this, at `exit`, and before a fatal signal ends the program. One at
/// a time.
class raw_terminal {
public:
  /// @param fd A terminal.
  explicit raw_terminal(int fd);
  ~raw_terminal();
  raw_terminal(const raw_terminal&) = delete;
  raw_terminal& operator=(const raw_terminal&) = delete;

  /// Raw once more: who stopped us may have changed it.
  void again();
};

/// Puts it back now, if there is one: for an end that runs nothing else.
void put_terminal_back();

/// The size of a terminal; 0x0 where it has none.
v1::TerminalSize terminal_size_of(int fd);

} // namespace gantry::cli
