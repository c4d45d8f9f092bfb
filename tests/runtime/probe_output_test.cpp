#include "runtime/probe_output.hpp"

#include <catch2/catch.hpp>

#include "runtime/foreign_text.hpp"

using namespace gantry::runtime;

namespace {

std::string kept(std::string_view bytes, size_t most, size_t piece = 100) {
  probe_output out(most);
  for (size_t at = 0; at < bytes.size(); at += piece)
    out.feed(bytes.substr(at, piece));
  CHECK(out.total_bytes() == bytes.size());
  CHECK(is_clean_text(out.text()));
  CHECK(out.text().size() <= most);
  return out.text();
}

} // namespace

TEST_CASE("probe output: short text stays as it is") {
  CHECK(kept("", 4096).empty());
  CHECK(kept("ok\n", 4096) == "ok\n");
  CHECK(kept(std::string(4096, 'x'), 4096) == std::string(4096, 'x'));
  CHECK(kept("gr\xc3\xbc\xc3\x9f", 4096, 3) == "gr\xc3\xbc\xc3\x9f"); // Cut within a character.
}

TEST_CASE("probe output: the first bytes of long text, and a sign that there was more") {
  CHECK(kept(std::string(4097, 'x'), 4096) == std::string(4093, 'x') + "...");
  CHECK(kept("abcdef", 5) == "ab...");
  CHECK(kept("abcdef", 2) == "ab");
  CHECK(kept("abcdef", 0).empty());
  CHECK(kept("a\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 9) == "a\xe2\x82\xac..."); // None is cut.
}

TEST_CASE("probe output: bytes that are no text") {
  CHECK(kept("a\xff\x62", 4096) == "a\xef\xbf\xbd\x62");
  CHECK(kept(std::string("a\0b", 3), 4096) == "a\xef\xbf\xbd\x62");
  CHECK(kept("\xe2\x82", 4096) == "\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(kept("\xed\xa0\x80", 4096).size() == 9); // A surrogate is no character.
  const auto many = kept(std::string(4096, '\xff'), 4096);
  CHECK(many.ends_with("..."));
  CHECK(many.size() > 4090);
}

TEST_CASE("probe output: a gigabyte of it is counted and not kept") {
  probe_output out(4096);
  const std::string piece(1 << 20, 'y');
  for (int i = 0; i < 1024; ++i)
    out.feed(piece);
  CHECK(out.total_bytes() == uint64_t{1} << 30);
  CHECK(out.text() == std::string(4093, 'y') + "...");
}
