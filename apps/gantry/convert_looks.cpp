#include "apps/gantry/detach_keys.hpp"
#include "apps/gantry/formats.hpp"
#include "apps/gantry/objects.hpp"
#include "apps/gantry/reader.hpp"

namespace gantry::cli {

namespace {

/// `label=KEY=VALUE` or `label=KEY`.
template <class Filter>
void add_label(const std::string& text, Filter& to) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos)
    to.add_label_keys(text);
  else
    (*to.mutable_labels())[text.substr(0, equals)] = text.substr(equals + 1);
}

error unknown(const std::string& word, const char* right) {
  return {ec::invalid_argument, "\"" + printable(word) + "\" is unknown", right};
}

void take_event_filters(reader& in, v1::EventFilter& to) {
  in.take_each("--filter", parse_pair, [&in, &to](const std::pair<std::string, std::string>& p) {
    const auto& [key, value] = p;
    if (key == "type" || key == "event")
      to.add_types(value);
    else if (key == "container")
      to.add_containers(value);
    else if (key == "process")
      to.add_processes(value);
    else if (key == "label")
      add_label(value, to);
    else
      in.fail("--filter",
              unknown(key, "type=exit, container=web, process=init or label=KEY[=VALUE]"));
  });
}

/// Docker's words for states, too.
result<v1::State> parse_state(std::string_view text) {
  const std::string word(text == "exited" ? "stopped" : text);
  for (int s = v1::CREATING; s < v1::State_ARRAYSIZE; ++s)
    if (state_text(static_cast<v1::State>(s)) == word)
      return static_cast<v1::State>(s);
  return error{ec::invalid_argument, "there is no state \"" + printable(text) + "\"",
               "created, waiting, running, paused, stopping, stopped, restarting or dead"};
}

void take_list_filters(reader& in, v1::ListFilter& to) {
  const auto code = [](std::string_view t) { return parse_number(t, 0, 255); };
  in.take_each("--filter", parse_pair, [&](const std::pair<std::string, std::string>& p) {
    const auto& [key, value] = p;
    if (key == "id" || key == "name")
      to.add_ids(value);
    else if (key == "state" || key == "status")
      in.take("--filter state", value, parse_state, [&to](v1::State s) { to.add_states(s); });
    else if (key == "exited")
      in.take("--filter exited", value, code,
              [&to](int64_t n) { to.add_exit_codes(static_cast<int32_t>(n)); });
    else if (key == "runtime")
      to.add_runtimes(value);
    else if (key == "label")
      add_label(value, to);
    else
      in.fail("--filter", unknown(key, "name=PART, state=running, exited=CODE, runtime=runc or "
                                       "label=KEY[=VALUE]"));
  });
}

/// A text that lines are looked through for. No line holds what is empty or has a newline in it.
result<std::string> parse_grep(std::string_view text) {
  const auto wrong = [](const char* why) {
    return error{ec::invalid_argument, why, "give the words to look for, as they stand in a line"};
  };
  if (text.empty())
    return wrong("the text is empty");
  if (text.find('\n') != std::string_view::npos)
    return wrong("the text has a newline in it, which no line has");
  return std::string(text);
}

result<uint32_t> parse_stream(std::string_view text) {
  if (text == "stdout")
    return 1U;
  if (text == "stderr")
    return 2U;
  return unknown(std::string(text), "stdout or stderr");
}

/// A cursor, or a time: RFC 3339, or so long ago.
void take_times(reader& in, options& out) {
  const auto time = [](std::string_view t) { return parse_time(t, now_ns()); };
  const std::string text = in.line.text("--since");
  const bool has_cursors = out.verb == "events";
  if (!in.line.given("--since") || (has_cursors && parse_cursor(text)))
    out.since = text;
  else
    in.take("--since", time, [&out](int64_t ns) { out.since_ns = ns; });
  in.take("--until", time, [&out](int64_t ns) { out.until_ns = ns; });
  if (out.since_ns && out.until_ns && *out.until_ns <= *out.since_ns)
    in.fail("--until", {ec::invalid_argument, "it is not later than --since: nothing is between",
                        "a duration is so long ago: --since 10m --until 5m"});
  in.take("--stream", parse_stream, [&out](uint32_t n) { out.stream = n; });
  in.take("--grep", parse_grep, [&out](std::string words) { out.grep = std::move(words); });
}

/// `table` and `json` are words, all else is a template.
void take_format(reader& in, options& out) {
  const std::string format = in.line.text("--format");
  if (format == "json")
    out.json = true;
  else if (format.empty() || format == "table")
    return;
  else if (format.find("{{") == std::string::npos)
    in.fail("--format", unknown(format, "table, json or a template such as {{.id}} {{.state}}"));
  else
    in.take("--format", row_format::parse,
            [&out, &format](const row_format&) { out.format = format; });
}

} // namespace

void take_looks(reader& in, options& out) {
  const auto& line = in.line;
  out.no_stdin = line.flag("--no-stdin");
  out.replay = line.flag("--replay");
  const std::string keys = line.text("--detach-keys");
  in.take("--detach-keys", keys.empty() ? std::string(usual_detach_keys) : keys,
          parse_detach_keys, [&out](std::string bytes) { out.detach_keys = std::move(bytes); });
  in.take("--time", parse_duration, [&out](int64_t ns) { out.timeout_ns = ns; });
  const auto lines = [](std::string_view t) {
    return t == "all" ? result<int64_t>(int64_t{0}) : parse_number(t, 1, INT64_MAX);
  };
  if (out.verb == "logs")
    in.take("--tail", lines, [&out](int64_t n) { out.tail = static_cast<uint64_t>(n); });
  const auto seq = [](std::string_view t) { return parse_number(t, 0, INT64_MAX); };
  if (out.verb == "journal")
    in.take("--after", seq, [&out](int64_t n) { out.after = static_cast<uint64_t>(n); });
  take_times(in, out);
  if (out.verb == "ps")
    take_list_filters(in, out.list_filter);
  else
    take_event_filters(in, out.filter);
  take_format(in, out);
  out.no_stream = line.flag("--no-stream");
  in.take("--interval", parse_duration, [&out](int64_t ns) { out.interval_ns = ns; });
}

} // namespace gantry::cli
