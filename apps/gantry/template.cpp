#include "apps/gantry/template.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <nlohmann/json.hpp>

#include "apps/gantry/units.hpp"

namespace gantry::cli {

using nlohmann::json;

/// A piece of a template: text, a value, or a part that is shown often, once or not.
struct text_template::node {
  enum class kind : uint8_t { text, value, range, condition };
  kind what = kind::text;
  std::string text;
  std::string function;          ///< json, upper, lower, len, index, or none.
  std::vector<std::string> path; ///< Of the value; empty: all of it.
  std::vector<std::string> keys; ///< Of index.
  std::vector<node> body;
  std::vector<node> otherwise;
};

namespace {

using node = text_template::node;
constexpr size_t most_depth = 16;

error bad_template(std::string_view where, std::string_view why) {
  return {ec::invalid_argument, "\"" + printable(where) + "\" " + std::string(why),
          "such as {{.id}} {{.state}}, {{json .labels}}, {{index .labels \"key\"}}"};
}

/// Lower case without underscores: how Go's and JSON's names of one thing are the same.
std::string plain(std::string_view name) {
  std::string out;
  for (char c : name)
    if (c != '_')
      out += c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
  return out;
}

/// Words of an action; quoted ones keep their quote in front.
result<std::vector<std::string>> words_of(std::string_view action) {
  std::vector<std::string> out;
  for (size_t i = 0; i < action.size();) {
    if (action[i] == ' ' || action[i] == '\t') {
      ++i;
    } else if (action[i] == '"' || action[i] == '`') {
      const size_t end = action.find(action[i], i + 1);
      if (end == std::string_view::npos)
        return bad_template(action, "has a quote that does not end");
      out.push_back("\"" + std::string(action.substr(i + 1, end - i - 1)));
      i = end + 1;
    } else {
      const size_t end = std::min(action.find_first_of(" \t\"`", i), action.size());
      out.emplace_back(action.substr(i, end - i));
      i = end;
    }
  }
  return out;
}

std::optional<std::vector<std::string>> path_of(std::string_view word) {
  if (word.empty() || word[0] != '.')
    return {};
  std::vector<std::string> out;
  word.remove_prefix(1);
  while (!word.empty()) {
    const size_t dot = std::min(word.find('.'), word.size());
    if (dot == 0)
      return {};
    out.emplace_back(word.substr(0, dot));
    word.remove_prefix(std::min(dot + 1, word.size()));
  }
  return out;
}

bool is_function(std::string_view word) {
  constexpr std::array known{"json", "upper", "lower", "len", "println"};
  return std::find(known.begin(), known.end(), word) != known.end();
}

/// One walk over the text of a template.
class parser {
public:
  explicit parser(std::string_view text) : rest_(text) {}

  result<std::vector<node>> all() {
    auto out = block(0);
    if (out && !ending_.empty())
      return bad_template("{{" + ending_ + "}}", "ends nothing");
    return out;
  }

private:
  /// Up to `{{end}}`, `{{else}}` (kept in `ending_`) or the end of the text.
  result<std::vector<node>> block(size_t depth) {
    std::vector<node> out;
    ending_.clear();
    while (!rest_.empty()) {
      const size_t open = std::min(rest_.find("{{"), rest_.size());
      if (open > 0)
        out.push_back(text_node(rest_.substr(0, open)));
      rest_.remove_prefix(open);
      if (rest_.empty())
        break;
      const size_t close = rest_.find("}}");
      if (close == std::string_view::npos)
        return bad_template(rest_, "lacks its }}");
      const auto action = rest_.substr(2, close - 2);
      rest_.remove_prefix(close + 2);
      auto words = words_of(action);
      if (!words)
        return std::move(words).why();
      if (words->size() == 1 && (words->front() == "end" || words->front() == "else")) {
        ending_ = words->front();
        return out;
      }
      auto made = action_node(*std::move(words), action, depth);
      if (!made)
        return std::move(made).why();
      out.push_back(*std::move(made));
    }
    return out;
  }

  static node text_node(std::string_view text) {
    node out;
    for (size_t i = 0; i < text.size(); ++i) {
      const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
      if (next == 't' || next == 'n' || next == '\\') {
        out.text += next == 't' ? '\t' : next == 'n' ? '\n' : '\\';
        ++i;
      } else {
        out.text += text[i];
      }
    }
    return out;
  }

  result<node> action_node(std::vector<std::string> words, std::string_view action, size_t depth) {
    if (words.empty())
      return bad_template("{{}}", "is empty");
    const std::string first = words.front();
    if (first == "range" || first == "if")
      return part_node(std::move(words), action, depth);
    node out;
    out.what = node::kind::value;
    if (is_function(first) || first == "index") {
      out.function = first;
      words.erase(words.begin());
    }
    auto path = words.empty() ? std::nullopt : path_of(words.front());
    if (!path)
      return bad_template(action, "names no field: it begins with a dot");
    out.path = *std::move(path);
    for (size_t i = 1; i < words.size(); ++i)
      out.keys.push_back(words[i][0] == '"' ? words[i].substr(1) : words[i]);
    if (out.function == "index" ? out.keys.empty() : !out.keys.empty())
      return bad_template(action, out.function == "index" ? "lacks a key" : "has too many words");
    return out;
  }

  result<node> part_node(std::vector<std::string> words, std::string_view action, size_t depth) {
    node out;
    out.what = words.front() == "if" ? node::kind::condition : node::kind::range;
    auto path = words.size() == 2 ? path_of(words[1]) : std::nullopt;
    if (!path || depth >= most_depth)
      return bad_template(action, path ? "is nested too deeply" : "names no field");
    out.path = *std::move(path);
    auto body = block(depth + 1);
    if (!body)
      return std::move(body).why();
    out.body = *std::move(body);
    if (ending_ == "else") {
      auto rest = block(depth + 1);
      if (!rest)
        return std::move(rest).why();
      out.otherwise = *std::move(rest);
    }
    if (ending_ != "end")
      return bad_template("{{" + std::string(action) + "}}", "lacks its {{end}}");
    ending_.clear();
    return out;
  }

  std::string_view rest_;
  std::string ending_;
};

/// The member with this name, or its name in Go's way; null when there is none.
const json* member(const json& of, const std::string& name) {
  if (!of.is_object())
    return nullptr;
  if (const auto at = of.find(name); at != of.end())
    return &*at;
  for (auto it = of.begin(); it != of.end(); ++it)
    if (plain(it.key()) == plain(name))
      return &it.value();
  return nullptr;
}

error no_field(const json& of, const std::string& name) {
  std::string names;
  if (of.is_object())
    for (auto it = of.begin(); it != of.end() && names.size() < 400; ++it)
      names.append(names.empty() ? "" : " ").append(it.key());
  return {ec::invalid_argument, "there is no field \"" + printable(name) + "\"",
          names.empty() ? "what stands in front of it has no fields" : "there are: " + names};
}

result<const json*> look_up(const json& from, const std::vector<std::string>& path) {
  const json* at = &from;
  for (const auto& name : path) {
    const json* next = member(*at, name);
    if (!next && at->is_null())
      return at; // A field of what is not there: null, as a container has no exit yet.
    if (!next)
      return no_field(*at, name);
    at = next;
  }
  return at;
}

std::string shown(const json& x) {
  if (x.is_string())
    return x.get<std::string>();
  if (x.is_null())
    return "";
  return x.dump(-1, ' ', false, json::error_handler_t::replace);
}

bool is_true(const json& x) {
  if (x.is_boolean())
    return x.get<bool>();
  if (x.is_number())
    return x != 0;
  return !x.is_null() && !(x.is_string() ? x.get_ref<const std::string&>().empty() : x.empty());
}

result<std::string> value_of(const node& n, const json& x) {
  if (n.function == "json")
    return x.dump(-1, ' ', false, json::error_handler_t::replace);
  if (n.function == "len")
    return std::to_string(x.is_string() ? x.get_ref<const std::string&>().size() : x.size());
  std::string text = shown(x);
  if (n.function == "upper" || n.function == "lower") {
    const char first = n.function == "upper" ? 'a' : 'A';
    for (char& c : text)
      if (c >= first && c < first + 26)
        c = static_cast<char>(c ^ 0x20);
  }
  return n.function == "println" ? text + "\n" : text;
}

result<std::string> render(const std::vector<node>& nodes, const json& to);

result<std::string> indexed(const node& n, const json* at) {
  for (const auto& key : n.keys) {
    const bool number =
      !key.empty() && key.size() < 9 && key.find_first_not_of("0123456789") == std::string::npos;
    if (at->is_array() && number && std::stoul(key) < at->size())
      at = &(*at)[std::stoul(key)];
    else if (const auto* next = at->is_object() && at->contains(key) ? &(*at)[key] : nullptr)
      at = next;
    else
      return std::string(); // As Go's: a key that is not there is empty.
  }
  return shown(*at);
}

result<std::string> render_one(const node& n, const json& to) {
  if (n.what == node::kind::text)
    return n.text;
  auto found = look_up(to, n.path);
  if (!found)
    return std::move(found).why();
  const json& x = **found;
  if (n.what == node::kind::condition)
    return render(is_true(x) ? n.body : n.otherwise, to);
  if (n.function == "index")
    return indexed(n, &x);
  if (n.what == node::kind::value)
    return value_of(n, x);
  if (!x.is_array() && !x.is_object())
    return render(n.otherwise, to);
  std::string out;
  for (const auto& one : x) {
    auto part = render(n.body, one);
    if (!part)
      return part;
    out += *part;
  }
  return x.empty() ? render(n.otherwise, to) : result<std::string>(std::move(out));
}

result<std::string> render(const std::vector<node>& nodes, const json& to) {
  std::string out;
  for (const auto& n : nodes) {
    auto part = render_one(n, to);
    if (!part)
      return part;
    out += *part;
  }
  return out;
}

} // namespace

result<text_template> text_template::parse(std::string_view text) {
  auto nodes = parser(text).all();
  if (!nodes)
    return std::move(nodes).why();
  text_template out;
  out.nodes_ = std::make_shared<const std::vector<node>>(*std::move(nodes));
  return out;
}

result<std::string> text_template::apply(const json& to) const {
  return render(*nodes_, to);
}

} // namespace gantry::cli
