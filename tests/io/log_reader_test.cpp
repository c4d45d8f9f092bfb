#include "io/log_reader.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "tests/io/pump_rig.hpp"

using namespace gantry;
using namespace gantry::io;
using namespace gantry::io::testing;

namespace {

std::string record(std::string_view bytes, uint8_t stream = 0) {
  page_buffer out;
  append_records(bytes, 0, {.stream = stream, .time_ns = 1000, .enough = SIZE_MAX, .to_end = true},
                 out);
  return std::string(out.text());
}

struct reader_rig : pump_rig {
  void put(uint64_t seq, const std::string& text) {
    std::ofstream(log_file_path(dir.path(), seq), std::ios::binary | std::ios::app) << text;
  }

  result<log_reader::batch> next(log_reader& reader, size_t max_bytes = 1u << 20) {
    std::optional<result<log_reader::batch>> got;
    reader.next(max_bytes, [&got](result<log_reader::batch> x) { got.emplace(std::move(x)); });
    CHECK_FALSE(got.has_value());
    REQUIRE(until([&got] { return got.has_value(); }));
    return std::move(*got);
  }

  /// All that is there now, from `from` on: stdout only.
  std::string read_all(log_place from, uint64_t& missing) {
    log_reader reader(the_loop, dir.path(), from);
    std::string out;
    for (;;) {
      const auto x = next(reader, 1000);
      REQUIRE(x.ok());
      for (const log_piece& piece : x->pieces)
        out += piece.bytes;
      missing += x->missing_files;
      if (x->at_end)
        return out;
    }
  }
  std::string read_all(log_place from = {}) {
    uint64_t missing = 0;
    auto out = read_all(from, missing);
    CHECK(missing == 0);
    return out;
  }

  log_place tail(uint64_t lines) {
    std::optional<result<log_place>> got;
    find_tail(the_loop, dir.path(), lines,
              [&got](result<log_place> x) { got.emplace(std::move(x)); });
    REQUIRE(until([&got] { return got.has_value(); }));
    REQUIRE(got->ok());
    return **got;
  }
};

} // namespace

TEST_CASE_METHOD(reader_rig, "log_reader: an empty log is at its end", "[uring]") {
  log_reader reader(the_loop, dir.path(), {});
  auto x = next(reader);
  REQUIRE(x.ok());
  CHECK(x->at_end);
  CHECK(x->pieces.empty());
  put(1, record("first\n"));
  x = next(reader);
  REQUIRE(x.ok());
  REQUIRE(x->pieces.size() == 1);
  CHECK(x->pieces[0].bytes == "first\n");
  CHECK(x->pieces[0].time_ns == 1000);
}

TEST_CASE_METHOD(reader_rig, "log_reader: reads streams, long and binary records, over files",
                 "[uring]") {
  std::string all;
  std::mt19937 random(3);
  for (uint64_t seq = 1; seq <= 4; ++seq)
    for (int i = 0; i < 300; ++i) {
      std::string bytes(random() % (i == 7 ? 400'000 : 600), '\0');
      for (char& c : bytes)
        c = static_cast<char>(random());
      all += bytes;
      put(seq, record(bytes));
    }
  CHECK((read_all() == all)); // Too much to print.
  log_reader reader(the_loop, dir.path(), {});
  put(4, record("to stderr", 1));
  for (;;) {
    const auto x = next(reader);
    REQUIRE(x.ok());
    if (!x->at_end)
      continue;
    REQUIRE_FALSE(x->pieces.empty());
    CHECK(x->pieces.back().stream == 2);
    CHECK(x->pieces.back().bytes == "to stderr");
    break;
  }
}

TEST_CASE_METHOD(reader_rig, "log_reader: batches are bounded and cursors go on exactly",
                 "[uring]") {
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    all += std::to_string(i) + "\n";
    put(1 + uint64_t(i) / 300, record(std::to_string(i) + "\n"));
  }
  std::string got;
  log_place at;
  for (bool end = false; !end;) {
    log_reader reader(the_loop, dir.path(), at); // A new one for each batch.
    const auto x = next(reader, 50);
    REQUIRE(x.ok());
    size_t bytes = 0;
    for (const log_piece& piece : x->pieces) {
      bytes += piece.bytes.size();
      got += piece.bytes;
    }
    CHECK(bytes < 60);
    at = x->next;
    end = x->at_end;
  }
  CHECK(got == all);
}

TEST_CASE_METHOD(reader_rig, "log_reader: a record that is being written is not there yet",
                 "[uring]") {
  const std::string whole = record("second\n");
  put(1, record("first\n") + whole.substr(0, 20));
  log_reader reader(the_loop, dir.path(), {});
  auto x = next(reader);
  REQUIRE(x.ok());
  CHECK(x->pieces.size() == 1);
  CHECK(x->at_end);
  CHECK(x->next.offset == record("first\n").size());
  x = next(reader);
  REQUIRE(x.ok());
  CHECK(x->pieces.empty());
  put(1, whole.substr(20));
  x = next(reader);
  REQUIRE(x.ok());
  REQUIRE(x->pieces.size() == 1);
  CHECK(x->pieces[0].bytes == "second\n");
}

TEST_CASE_METHOD(reader_rig, "log_reader: what rotation removed is counted", "[uring]") {
  put(1, record("one\n"));
  log_reader slow(the_loop, dir.path(), {});
  REQUIRE(next(slow).ok()); // It holds file 1 open.
  put(1, record("more of one\n"));
  for (uint64_t seq = 5; seq <= 6; ++seq)
    put(seq, record(std::to_string(seq) + "\n"));
  std::filesystem::remove(log_file_path(dir.path(), 1));
  auto x = next(slow);
  REQUIRE(x.ok());
  std::string got;
  for (const log_piece& piece : x->pieces)
    got += piece.bytes;
  CHECK(got == "more of one\n5\n6\n");
  CHECK(x->missing_files == 3); // 2, 3 and 4.
  uint64_t missing = 0;
  CHECK(read_all({2, 77}, missing) == "5\n6\n");
  CHECK(missing == 3);
  CHECK(read_all() == "5\n6\n"); // From the oldest: nothing is missing.
}

TEST_CASE_METHOD(reader_rig, "log_reader: damage names file and byte, and reading goes on",
                 "[uring]") {
  put(1, record("good\n") + "rubbish\n" + record("after\n") + "{\"log\":\"torn");
  put(2, record("next file\n"));
  log_reader reader(the_loop, dir.path(), {});
  auto x = next(reader);
  REQUIRE(x.ok());
  CHECK(x->pieces.size() == 1);
  x = next(reader);
  REQUIRE_FALSE(x.ok());
  CHECK(x.why().code == ec::data_loss);
  CHECK(x.why().message.find("log.000001") != std::string::npos);
  CHECK(x.why().message.find("byte " + std::to_string(record("good\n").size())) !=
        std::string::npos);
  x = next(reader, 1);
  REQUIRE(x.ok());
  REQUIRE(x->pieces.size() == 1);
  CHECK(x->pieces[0].bytes == "after\n");
  x = next(reader);
  REQUIRE_FALSE(x.ok()); // The torn one.
  x = next(reader);
  REQUIRE(x.ok());
  REQUIRE(x->pieces.size() == 1);
  CHECK(x->pieces[0].bytes == "next file\n");
}

TEST_CASE_METHOD(reader_rig, "log_reader: may be destroyed while it reads", "[uring]") {
  put(1, record("x\n"));
  bool called = false;
  {
    log_reader reader(the_loop, dir.path(), {});
    reader.next(100, [&called](const result<log_reader::batch>&) { called = true; });
  }
  for (int i = 0; i < 50; ++i)
    the_loop.turn(false);
  CHECK_FALSE(called);
  REQUIRE(until([this] { return the_loop.in_flight() == 0; }));
}

TEST_CASE_METHOD(reader_rig, "find_tail: finds the last records over files and chunks", "[uring]") {
  CHECK(tail(3).file_seq == 0);
  std::vector<std::string> lines;
  for (int i = 0; i < 3000; ++i) {
    lines.push_back(std::to_string(i) + std::string(i % 97, 'x') + "\n");
    put(1 + uint64_t(i) / 1100, record(lines.back()));
  }
  for (const size_t n : {0, 1, 2, 100, 799, 800, 801, 1900, 2999, 3000, 5000}) {
    std::string expected;
    for (size_t i = lines.size() - std::min(n, lines.size()); i < lines.size(); ++i)
      expected += lines[i];
    INFO("the last " << n);
    CHECK(read_all(tail(n)) == expected);
  }
  put(3, "{\"log\":\"being writ");
  CHECK(read_all(tail(1)) == lines.back());
}

TEST_CASE_METHOD(reader_rig, "log_reader: follows a pump across rotations, byte for byte",
                 "[uring]") {
  log_policy policy;
  policy.max_file_bytes = 50'000;
  policy.max_files = 1000;
  pump p(the_loop, keeper, pool, policy);
  REQUIRE(p.begin(9, dir.path(), pipes(), {}).ok());
  log_reader reader(the_loop, dir.path(), {});
  std::mt19937 random(5);
  std::string all, got;
  const auto follow = [&] {
    for (bool end = false; !end;) {
      const auto x = next(reader, 4000);
      REQUIRE(x.ok());
      for (const log_piece& piece : x->pieces)
        got += piece.bytes;
      CHECK(x->missing_files == 0);
      end = x->at_end;
    }
  };
  for (int i = 0; i < 200; ++i) {
    const std::string line(random() % 9000, static_cast<char>('a' + i % 26));
    write(0, line + "\n");
    all += line + "\n";
    follow();
  }
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  follow();
  CHECK((got == all));
  CHECK(p.totals().file_seq > 5);
  for (uint64_t seq = 1; seq <= p.totals().file_seq; ++seq)
    CHECK(std::filesystem::file_size(log_file_path(dir.path(), seq)) <= policy.max_file_bytes);
  finish(p);
}
