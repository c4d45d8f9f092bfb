#include <ctime>
#include <google/protobuf/text_format.h>
#include <nlohmann/json.hpp>

#include "runtime/journal_dump.hpp"

namespace gantry::runtime {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using tree = nlohmann::ordered_json;

std::string base64(const std::string& bytes) {
  static constexpr char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    size_t have = std::min<size_t>(3, bytes.size() - i);
    for (size_t k = 0; k < 3; ++k)
      word = word << 8 | (k < have ? uint8_t(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k)
      out += k <= have ? digits[word >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

tree value_of(const Message& m, const FieldDescriptor* f, int i);

tree object_of(const Message& m) {
  tree out = tree::object();
  std::vector<const FieldDescriptor*> fields;
  m.GetReflection()->ListFields(m, &fields);
  for (const auto* f : fields) {
    if (!f->is_repeated()) {
      out[f->name()] = value_of(m, f, -1);
      continue;
    }
    tree list = f->is_map() ? tree::object() : tree::array();
    for (int i = 0; i < m.GetReflection()->FieldSize(m, f); ++i) {
      if (!f->is_map()) {
        list.push_back(value_of(m, f, i));
        continue;
      }
      const auto& entry = m.GetReflection()->GetRepeatedMessage(m, f, i);
      const auto* type = entry.GetDescriptor();
      auto key = value_of(entry, type->map_key(), -1);
      list[key.is_string() ? key.get<std::string>() : key.dump()] =
        value_of(entry, type->map_value(), -1);
    }
    out[f->name()] = std::move(list);
  }
  return out;
}

/// A field, or with `i` >= 0 one of its elements.
tree value_of(const Message& m, const FieldDescriptor* f, int i) {
  const auto* r = m.GetReflection();
  bool one = i < 0;
  switch (f->cpp_type()) {
  case FieldDescriptor::CPPTYPE_INT32:
    return one ? r->GetInt32(m, f) : r->GetRepeatedInt32(m, f, i);
  case FieldDescriptor::CPPTYPE_INT64:
    return one ? r->GetInt64(m, f) : r->GetRepeatedInt64(m, f, i);
  case FieldDescriptor::CPPTYPE_UINT32:
    return one ? r->GetUInt32(m, f) : r->GetRepeatedUInt32(m, f, i);
  case FieldDescriptor::CPPTYPE_UINT64:
    return one ? r->GetUInt64(m, f) : r->GetRepeatedUInt64(m, f, i);
  case FieldDescriptor::CPPTYPE_DOUBLE:
    return one ? r->GetDouble(m, f) : r->GetRepeatedDouble(m, f, i);
  case FieldDescriptor::CPPTYPE_FLOAT:
    return one ? r->GetFloat(m, f) : r->GetRepeatedFloat(m, f, i);
  case FieldDescriptor::CPPTYPE_BOOL:
    return one ? r->GetBool(m, f) : r->GetRepeatedBool(m, f, i);
  case FieldDescriptor::CPPTYPE_ENUM: {
    int n = one ? r->GetEnumValue(m, f) : r->GetRepeatedEnumValue(m, f, i);
    const auto* v = f->enum_type()->FindValueByNumber(n);
    return v != nullptr ? tree(v->name()) : tree(n);
  }
  case FieldDescriptor::CPPTYPE_STRING: {
    auto text = one ? r->GetString(m, f) : r->GetRepeatedString(m, f, i);
    return f->type() == FieldDescriptor::TYPE_BYTES ? base64(text) : text;
  }
  case FieldDescriptor::CPPTYPE_MESSAGE:
    return object_of(one ? r->GetMessage(m, f) : r->GetRepeatedMessage(m, f, i));
  }
  return nullptr;
}

std::string time_text(int64_t ns) {
  std::time_t seconds = ns / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char day[32];
  std::strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
  char all[64];
  std::snprintf(all, sizeof all, "%s.%09dZ", day, int(ns % 1'000'000'000));
  return all;
}

} // namespace

std::string record_json(const journal::Record& r) {
  return object_of(r).dump(-1, ' ', false, tree::error_handler_t::replace);
}

std::string record_text(const journal::Record& r) {
  std::string out = std::to_string(r.seq()) + " " + time_text(r.time_ns());
  if (!r.container().empty())
    out += " " + r.namespace_() + "/" + r.container();
  if (!r.process().empty())
    out += " " + r.process();
  const auto* body = r.GetDescriptor()->FindOneofByName("body");
  const auto* field = r.GetReflection()->GetOneofFieldDescriptor(r, body);
  out += " " + (field != nullptr ? field->name() : std::string("(of a later version)"));
  if (r.run() != 0)
    out += " run=" + std::to_string(r.run());
  if (r.pid() != 0)
    out += " pid=" + std::to_string(r.pid());
  if (r.cause() != 0)
    out += " cause=" + std::to_string(r.cause());
  if (r.has_by())
    out += " by=" + std::to_string(r.by().uid());
  if (field == nullptr)
    return out;
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string details;
  printer.PrintToString(r.GetReflection()->GetMessage(r, field), &details);
  while (details.ends_with(' '))
    details.pop_back();
  return details.empty() ? out : out + " { " + details + " }";
}

} // namespace gantry::runtime
