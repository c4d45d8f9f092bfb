#include "runtime/criu_config.hpp"

#include <memory>

#include "io/file_ops.hpp"
#include "runtime/config_parts.hpp"

namespace gantry::runtime {

namespace {

using nlohmann::json;

constexpr auto annotation = "org.criu.config";      ///< runc reads it.
constexpr auto of_the_host = "/etc/criu/runc.conf"; ///< What runc hands to CRIU without it.
constexpr size_t options_limit = 64u << 10;
constexpr size_t config_limit = 16u << 20;

/// One call: a chain of ops that keeps itself alive until its answer.
class telling : public std::enable_shared_from_this<telling> {
public:
  telling(io::loop& l, const std::string& bundle, std::string cgroup,
          std::function<void(result<void>)> f)
    : loop_(l), config_path_(bundle + "/config.json"), path_(bundle + "/criu.conf"),
      answer_(std::move(f)), cgroup_(std::move(cgroup)) {}

  void begin() {
    read(config_path_, config_limit, config_path_, [](telling& t, result<std::string> text) {
      t.take_config(std::move(text));
    });
  }

private:
  using step = void (*)(telling&, result<std::string>);

  void read(const std::string& path, size_t limit, const std::string& thing, step next) {
    io::read_file(loop_, path, limit, thing,
                  [self = shared_from_this(), next](result<std::string> text) {
                    next(*self, std::move(text));
                  });
  }

  void write(const std::string& path, std::string text, void (telling::*next)()) {
    io::write_file(loop_, path, std::move(text), 0600, false,
                   [self = shared_from_this(), next](result<void> x) {
                     if (!x)
                       return self->answer_(std::move(x));
                     (*self.*next)();
                   });
  }

  void take_config(result<std::string> text) {
    if (!text)
      return answer_(std::move(text).why());
    auto parsed = parse_json(*text, config_path_);
    if (!parsed)
      return answer_(std::move(parsed).why());
    config_ = *std::move(parsed);
    const auto place = "/linux/cgroupsPath"_json_pointer;
    if (!config_.is_object() || !config_.contains(place) || !config_.at(place).is_string())
      return answer_(error{ec::invalid_argument, config_path_ + ": has no linux.cgroupsPath",
                           "nobody but gantry writes there"});
    if (cgroup_.empty())
      cgroup_ = config_.at(place).get<std::string>();
    auto& notes = config_["annotations"];
    if (!notes.is_object())
      notes = json::object();
    if (const auto named = notes.find(annotation); named != notes.end() && named->is_string())
      named_ = named->get<std::string>();
    notes[annotation] = path_;
    const auto from = named_.empty() ? of_the_host : named_;
    read(from, options_limit, "CRIU's options in " + from,
         [](telling& t, result<std::string> options) { t.take_options(std::move(options)); });
  }

  void take_options(result<std::string> text) {
    if (!text && (!named_.empty() || text.why().code != ec::not_found))
      return answer_(std::move(text).why());
    auto options = text ? *std::move(text) : std::string();
    write(path_, std::move(options) + "\ncgroup-root " + cgroup_ + "\n", &telling::write_config);
  }

  void write_config() { write(config_path_, config_.dump(), &telling::finish); }
  void finish() { answer_({}); }

  io::loop& loop_;
  const std::string config_path_;
  const std::string path_;
  std::function<void(result<void>)> answer_;
  json config_;
  std::string cgroup_;
  std::string named_; ///< The client's file, if it named one.
};

} // namespace

void tell_criu_cgroup(io::loop& l, const std::string& bundle, std::string cgroup,
                      std::function<void(result<void>)> f) {
  std::make_shared<telling>(l, bundle, std::move(cgroup), std::move(f))->begin();
}

} // namespace gantry::runtime
