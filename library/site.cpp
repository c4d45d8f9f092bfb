#include "library/site.hpp"

namespace gantry::library {

void site::end(const error& why) {
  for (const auto& g : std::exchange(guests_, {}))
    g->leave(why);
  // Each may ask for more on the way: until nobody waits.
  while (!failures_.empty()) {
    auto first = failures_.extract(failures_.begin());
    first.mapped()(why);
  }
  link_.reset();
  for (const auto& g : std::exchange(guests_, {}))
    g->leave(why);
}

} // namespace gantry::library
