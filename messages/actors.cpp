#include "messages/actors.hpp"

#include "messages/check.hpp"

namespace gantry {

namespace {
constexpr auto category = caf::atom("gantry");
}

// CAF takes code 0 for "no error": ours are one higher there.
caf::error to_caf(const error& x) {
  return caf::error{static_cast<uint8_t>(uint8_t(x.code) + 1), category,
                    caf::make_message(x.message, x.cure)};
}

error from_caf(const caf::error& x) {
  GANTRY_CHECK(bool{x});
  if (x.category() == category && x.context().match_elements<std::string, std::string>())
    return {ec(x.code() - 1), x.context().get_as<std::string>(0),
            x.context().get_as<std::string>(1)};
  if (x == caf::sec::request_receiver_down || x.category() == caf::atom("exit"))
    return {ec::unavailable, "the container went away before the request was answered",
            "ask again: gantry ps -a shows what is there"};
  return {ec::internal, "an actor answered with a foreign error", "please report this"};
}

} // namespace gantry
