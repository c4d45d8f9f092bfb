#include <algorithm>
#include <array>

#include "apps/gantry/grammar.hpp"
#include "apps/gantry/units.hpp"
#include "messages/check.hpp"

namespace gantry::cli {

namespace {

bool known(std::string_view name) {
  for (const auto* o = option_rows(); o->names; ++o)
    if (o->long_name() == name)
      return true;
  return false;
}

/// How many letters must change to make `b` of `a`: for "did you mean".
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t corner = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t swap = corner + (a[i - 1] == b[j - 1] ? 0 : 1);
      corner = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, swap});
    }
  }
  return row[b.size()];
}

/// The nearest of what was offered, if it is near enough to be meant.
class guess {
public:
  explicit guess(std::string_view word) : word_(word) {}

  void offer(std::string_view other) {
    const size_t d = distance(word_, other);
    if (d < best_)
      best_ = d, name_ = other;
  }

  [[nodiscard]] std::string cure() const {
    return name_.empty() ? "" : "did you mean " + std::string(name_) + "?";
  }

private:
  std::string_view word_;
  std::string_view name_;
  size_t best_ = 3;
};

/// What docker has an option for and gantry has not, and what to do instead.
struct docker_option {
  std::string_view name;
  const char* cure;
};
constexpr std::array docker_options{
  docker_option{"-p", "gantry makes no networks: use --network host"},
  docker_option{"--publish", "gantry makes no networks: use --network host"},
  docker_option{"--net", "write --network host or --network none"},
  docker_option{"--dns", "write /etc/resolv.conf in the root filesystem, or bind one with -v"},
  docker_option{"--add-host", "write /etc/hosts in the root filesystem, or bind one with -v"},
  docker_option{"--init", "name an init of your own with --entrypoint"},
  docker_option{"--pull", "gantry has no images: use --rootfs or --bundle"},
  docker_option{"--platform", "gantry has no images: use --rootfs or --bundle"},
  docker_option{"--gpus", "add the devices with --device"},
  docker_option{"--volumes-from", "name the directories with -v"},
};

error wrong(std::string message, std::string cure) {
  return {ec::invalid_argument, std::move(message), std::move(cure)};
}

/// One walk over the arguments.
class walk {
public:
  explicit walk(const std::vector<std::string>& args) : args_(args) {}

  result<raw_line> go() {
    for (; at_ < args_.size() && !fault_; ++at_) {
      const std::string& arg = args_[at_];
      if (arg == "--" && out_.verb) {
        ++at_;
        break;
      }
      if (arg.starts_with("--") && arg.size() > 2)
        take_long(arg);
      else if (arg.size() > 1 && arg[0] == '-')
        take_cluster(arg);
      else if (begins_command())
        break;
      else
        take_word(arg);
    }
    if (!fault_)
      take_rest();
    return fault_ ? result<raw_line>(*fault_) : std::move(out_);
  }

private:
  [[nodiscard]] std::string_view verb() const { return out_.verb ? out_.verb->verb : ""; }

  [[nodiscard]] bool has_command() const {
    return out_.verb
           && (out_.verb->takes == words::command || out_.verb->takes == words::id_command);
  }

  [[nodiscard]] size_t own_words() const { return out_.verb->takes == words::id_command ? 1 : 0; }

  [[nodiscard]] bool begins_command() const {
    return has_command() && out_.ids.size() == own_words();
  }

  [[nodiscard]] const option_row* find(auto&& is_it) const {
    for (const auto* o = option_rows(); o->names; ++o)
      if (o->belongs_to(verb()) && is_it(*o))
        return o;
    return nullptr;
  }

  void fail(std::string message, std::string cure) {
    if (!fault_)
      fault_ = wrong(std::move(message), std::move(cure));
  }

  void no_such(const std::string& name) {
    guess near(name);
    std::string elsewhere;
    for (const auto* o = option_rows(); o->names; ++o) {
      if (o->belongs_to(verb()))
        near.offer(o->long_name());
      else if (o->long_name() == name)
        elsewhere = o->verbs;
    }
    std::string cure = near.cure();
    for (const auto& o : docker_options)
      if (o.name == name)
        cure = o.cure;
    if (cure.empty() && !elsewhere.empty())
      cure = "it is an option of: " + elsewhere;
    fail("there is no option " + printable(name), std::move(cure));
  }

  void take_long(const std::string& arg) {
    const size_t equals = arg.find('=');
    const std::string name = arg.substr(0, equals);
    const auto* row = find([&name](const option_row& o) { return o.long_name() == name; });
    if (!row)
      return no_such(name);
    if (equals != std::string::npos)
      return set(*row, arg.substr(equals + 1));
    if (!row->takes_value())
      return out_.add(*row, "true");
    set_next(*row, name);
  }

  void take_cluster(const std::string& arg) {
    for (size_t i = 1; i < arg.size() && !fault_; ++i) {
      const char letter = arg[i];
      const auto* row = find([letter](const option_row& o) { return o.short_name() == letter; });
      const std::string name = std::string("-") + letter;
      if (!row)
        return no_such(name);
      if (!row->takes_value()) {
        out_.add(*row, "true");
        continue;
      }
      if (i + 1 == arg.size())
        return set_next(*row, name);
      return set(*row, arg.substr(arg[i + 1] == '=' ? i + 2 : i + 1));
    }
  }

  void set_next(const option_row& row, const std::string& name) {
    if (at_ + 1 == args_.size())
      return fail(name + " lacks its value", name + " " + row.type);
    out_.add(row, args_[++at_]);
  }

  void set(const option_row& row, std::string value) {
    if (row.takes_value())
      return out_.add(row, std::move(value));
    if (value == "1" || value == "true")
      return out_.add(row, "true");
    if (value == "0" || value == "false")
      return out_.add(row, "false");
    fail(std::string(row.long_name()) + "=" + printable(value) + " has no meaning",
         "true or false");
  }

  void take_word(const std::string& word) {
    if (out_.verb) {
      out_.ids.push_back(word);
      return;
    }
    out_.verb = verb_row_of(word);
    if (out_.verb)
      return;
    guess near(word);
    for (const auto* row = verb_rows(); row->verb; ++row)
      near.offer(row->verb);
    fail("there is no command \"" + printable(word) + "\"", near.cure());
  }

  /// What stands behind `--`, or from the command's first word on.
  void take_rest() {
    if (!has_command()) {
      for (; at_ < args_.size(); ++at_)
        take_word(args_[at_]);
      return;
    }
    // `exec -- ID CMD`: what is still ours stands behind the dashes.
    const size_t first = at_;
    while (at_ < args_.size() && out_.ids.size() < own_words())
      out_.ids.push_back(args_[at_++]);
    if (at_ < args_.size() && at_ > first && args_[at_] == "--")
      ++at_;
    out_.command.assign(args_.begin() + static_cast<std::ptrdiff_t>(at_), args_.end());
  }

  const std::vector<std::string>& args_;
  size_t at_ = 0;
  raw_line out_;
  std::optional<error> fault_;
};

} // namespace

void raw_line::add(const option_row& row, std::string value) {
  values_[std::string(row.long_name())].push_back(std::move(value));
}

const std::vector<std::string>* raw_line::find(std::string_view name) const {
  GANTRY_CHECK(known(name));
  const auto at = values_.find(name);
  return at == values_.end() ? nullptr : &at->second;
}

std::string raw_line::text(std::string_view name) const {
  const auto* all = find(name);
  return all ? all->back() : "";
}

std::vector<std::string> raw_line::list(std::string_view name) const {
  const auto* all = find(name);
  return all ? *all : std::vector<std::string>();
}

result<raw_line> take_apart(const std::vector<std::string>& args) {
  return walk(args).go();
}

} // namespace gantry::cli
