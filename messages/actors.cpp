#include "messages/actors.hpp"

namespace gantry {

namespace {
constexpr auto category = caf::atom("gantry");
}

caf::error to_caf(const error& x) {
  return caf::error{static_cast<uint8_t>(x.code), category, caf::make_message(x.message, x.cure)};
}

error from_caf(const caf::error& x) {
  if (x.category() == category && x.context().match_elements<std::string, std::string>())
    return {ec(x.code()), x.context().get_as<std::string>(0), x.context().get_as<std::string>(1)};
  if (x == caf::sec::request_receiver_down || x.category() == caf::atom("exit"))
    return {ec::unavailable, "the container went away before the request was answered",
            "ask again: gantry ps -a shows what is there"};
  return {ec::internal, "an actor answered with a foreign error", "please report this"};
}

} // namespace gantry
