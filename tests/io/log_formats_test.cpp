#include <catch2/catch.hpp>
#include <random>

#include "io/cri_log.hpp"
#include "io/log_pack.hpp"
#include "io/log_reader.hpp"
#include "tests/io/pump_rig.hpp"

using namespace gantry;
using namespace gantry::io;
using namespace gantry::io::testing;
using namespace std::string_view_literals;

namespace {

constexpr int64_t cri_time = 1'795'646'400'123'456'789; // 2026-11-25T22:40:00.123456789Z

std::string cri(std::string_view pending, record_style style = {}) {
  style.format = log_format::cri;
  style.time_ns = cri_time;
  page_buffer out;
  append_records(pending, 0, style, out);
  return std::string(out.text());
}

struct formats_rig : pump_rig {
  result<log_reader::batch> next(log_reader& reader, size_t max_bytes = 1u << 20) {
    std::optional<result<log_reader::batch>> got;
    reader.next(max_bytes, [&got](result<log_reader::batch> x) { got.emplace(std::move(x)); });
    REQUIRE(until([&got] { return got.has_value(); }));
    return std::move(*got);
  }

  /// Both streams from a place on; every piece's cursor is tried by a second reader.
  std::array<std::string, 2> read_all(log_format format, log_place from = {},
                                      size_t max_bytes = 3000) {
    std::array<std::string, 2> out;
    log_reader reader(the_loop, dir.path(), from, format);
    uint64_t seq = 0;
    for (;;) {
      const auto x = next(reader, max_bytes);
      REQUIRE(x.ok());
      CHECK(x->missing_files == 0);
      for (const log_piece& piece : x->pieces) {
        out[piece.stream - 1] += piece.bytes;
        CHECK(piece.seq + 1 > seq);
        seq = piece.seq;
        last = piece;
      }
      if (x->at_end)
        return out;
    }
  }

  log_place tail(uint64_t lines) {
    std::optional<result<log_place>> got;
    find_tail(the_loop, dir.path(), lines,
              [&got](result<log_place> x) { got.emplace(std::move(x)); });
    REQUIRE(until([&got] { return got.has_value(); }));
    REQUIRE(got->ok());
    return **got;
  }

  log_piece last;
};

} // namespace

TEST_CASE("cri_log: a record is what Kubernetes reads") {
  CHECK(cri("hello \"world\"\n") ==
        "2026-11-25T22:40:00.123456789Z stdout F hello \"world\"\n");
  CHECK(cri("one\ntwo", {.stream = 1, .to_end = true}) ==
        "2026-11-25T22:40:00.123456789Z stderr F one\n"
        "2026-11-25T22:40:00.123456789Z stderr P two\n");
  CHECK(cri("\n") == "2026-11-25T22:40:00.123456789Z stdout F \n");
  CHECK(cri("abcdef\n", {.max_line = 3}) == "2026-11-25T22:40:00.123456789Z stdout P abc\n"
                                            "2026-11-25T22:40:00.123456789Z stdout F def\n");
}

TEST_CASE("cri_log: every byte is read back, and what is no record is known as such") {
  for (int c = 0; c < 256; ++c) {
    std::string text = "a-b";
    text[1] = static_cast<char>(c);
    const std::string records = cri(text, {.to_end = true});
    std::string back;
    for (size_t at = 0; at < records.size();) {
      const size_t end = records.find('\n', at);
      log_piece piece;
      REQUIRE(parse_cri_record(std::string_view(records).substr(at, end - at), piece));
      CHECK(piece.time_ns == cri_time);
      back += piece.bytes;
      at = end + 1;
    }
    CHECK(back == text);
  }
  log_piece piece;
  for (const auto bad :
       {""sv, "x"sv, "2026-11-25T22:40:00Z"sv, "2026-11-25T22:40:00Z stdout"sv,
        "2026-11-25T22:40:00Z stdin F x"sv, "2026-11-25T22:40:00Z stdout Q x"sv,
        "2026-13-25T22:40:00Z stdout F x"sv, " stdout F x"sv})
    CHECK_FALSE(parse_cri_record(bad, piece));
  REQUIRE(parse_cri_record("2026-11-25T22:40:00+01:00 stderr P:x y  z", piece));
  CHECK(piece.bytes == "y  z");
  CHECK(piece.stream == 2);
}

TEST_CASE_METHOD(formats_rig, "log_reader: every format is read back, packed or not, "
                              "from any place",
                 "[uring]") {
  const auto format = GENERATE(log_format::json_file, log_format::cri, log_format::raw);
  const bool packed = GENERATE(false, true);
  INFO(name_of(format) << (packed ? ", packed" : ""));
  log_policy policy;
  policy.format = format;
  policy.max_file_bytes = 40'000;
  policy.max_files = 1000;
  policy.max_line_bytes = 5000;
  pump p(the_loop, keeper, pool, policy);
  REQUIRE(p.begin(9, dir.path(), pipes(), {}).ok());
  std::mt19937 random(5);
  std::array<std::string, 2> all;
  for (int i = 0; i < 100; ++i) {
    const size_t s = random() % 3 == 0;
    std::string line(random() % 9000, static_cast<char>('a' + i % 26));
    line += i % 7 == 0 ? "" : "\n";
    write(s, line);
    all[s] += line;
    if (i % 5 == 0)
      CHECK(drain(p));
  }
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  const uint64_t files = p.totals().file_seq;
  CHECK(files > 5);
  finish(p);
  if (packed)
    for (uint64_t seq = 1; seq < files; ++seq) {
      REQUIRE(pack_log(log_file_path(dir.path(), seq)).ok());
      CHECK_FALSE(std::filesystem::exists(log_file_path(dir.path(), seq)));
    }
  CHECK((read_all(format) == all));
  // From the place behind every so many bytes on, the rest is the rest.
  log_reader reader(the_loop, dir.path(), {}, format);
  std::array<std::string, 2> front;
  for (bool end = false; !end;) {
    const auto x = next(reader, 60'000);
    REQUIRE(x.ok());
    for (const log_piece& piece : x->pieces)
      front[piece.stream - 1] += piece.bytes;
    end = x->at_end;
    const auto rest = read_all(format, x->next, 1u << 20);
    CHECK((front[0] + rest[0] == all[0]));
    CHECK((front[1] + rest[1] == all[1]));
  }
}

TEST_CASE_METHOD(formats_rig, "log_reader: pieces of one line know each other", "[uring]") {
  const auto format = GENERATE(log_format::json_file, log_format::cri);
  log_policy policy;
  policy.format = format;
  policy.max_line_bytes = 1024;
  pump p(the_loop, keeper, pool, policy);
  REQUIRE(p.begin(9, dir.path(), pipes(), {}).ok());
  write(0, std::string(3000, 'x') + "\nshort\n");
  CHECK(drain(p));
  log_reader reader(the_loop, dir.path(), {}, format);
  auto x = next(reader);
  REQUIRE(x.ok());
  REQUIRE(x->pieces.size() == 4);
  CHECK(x->pieces[0].line == x->pieces[0].seq);
  CHECK(x->pieces[1].line == x->pieces[0].seq);
  CHECK(x->pieces[2].line == x->pieces[0].seq);
  CHECK(x->pieces[3].line == x->pieces[3].seq);
  CHECK(x->pieces[1].seq > x->pieces[0].seq);
  log_reader from_within(the_loop, dir.path(), x->pieces[0].next, format);
  const auto y = next(from_within);
  REQUIRE(y.ok());
  CHECK(y->pieces.at(0).line == x->pieces[0].seq);
  finish(p);
}

TEST_CASE_METHOD(formats_rig, "find_tail: finds the last lines in packed files, too", "[uring]") {
  std::vector<std::string> lines;
  for (int i = 0; i < 3000; ++i) {
    lines.push_back(std::to_string(i) + std::string(i % 97, 'x') + "\n");
    std::ofstream(log_file_path(dir.path(), 1 + uint64_t(i) / 1100), std::ios::app)
      << cri(lines.back());
  }
  for (uint64_t seq = 1; seq <= 2; ++seq)
    REQUIRE(pack_log(log_file_path(dir.path(), seq)).ok());
  for (const size_t n : {0, 1, 2, 799, 800, 801, 1900, 1901, 2999, 3000, 5000}) {
    std::string expected;
    for (size_t i = lines.size() - std::min(n, lines.size()); i < lines.size(); ++i)
      expected += lines[i];
    INFO("the last " << n);
    CHECK((read_all(log_format::cri, tail(n))[0] == expected));
  }
}

TEST_CASE_METHOD(formats_rig, "log_reader: a damaged packed file is said, and reading goes on",
                 "[uring]") {
  for (uint64_t seq = 1; seq <= 2; ++seq)
    std::ofstream(log_file_path(dir.path(), seq)) << cri("file " + std::to_string(seq) + "\n");
  REQUIRE(pack_log(log_file_path(dir.path(), 1)).ok());
  const auto path = log_packed_path(dir.path(), 1);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 3);
  log_reader reader(the_loop, dir.path(), {}, log_format::cri);
  std::string got, why;
  for (bool end = false; !end;) {
    const auto x = next(reader);
    if (!x) {
      why = x.why().message;
      continue;
    }
    for (const log_piece& piece : x->pieces)
      got += piece.bytes;
    end = x->at_end;
  }
  CHECK(got.ends_with("file 2\n"));
  CHECK(why.find("log.000001.zst") != std::string::npos);
}
