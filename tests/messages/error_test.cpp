#include "messages/error.hpp"

#include <catch2/catch.hpp>
#include <cerrno>
#include <set>

#include "messages/result.hpp"

using namespace gantry;

TEST_CASE("error: every code has a name of its own, and the name leads back") {
  std::set<std::string_view> names;
  for (size_t i = 0; i < size_t(ec::count_); ++i) {
    names.insert(name_of(ec(i)));
    CHECK(code_named(name_of(ec(i))) == ec(i));
    CHECK(grpc_status_of(ec(i)) > 0);
    CHECK(grpc_status_of(ec(i)) <= 16);
    CHECK(exit_code_of(ec(i)) >= 125);
    CHECK(exit_code_of(ec(i)) <= 127);
  }
  CHECK(names.size() == size_t(ec::count_));
  CHECK(code_named("of a later version") == ec::internal);
}

TEST_CASE("error: the text names thing and cause, and the cure where there is one") {
  const auto e = from_errno(ENOENT, "open", "/srv/x");
  CHECK(e.code == ec::not_found);
  CHECK(e.text() == "cannot open /srv/x: No such file or directory (check the path)");
  CHECK(error{ec::internal, "m", ""}.text() == "m");
}

TEST_CASE("error: a full disk, missing rights and spent descriptors are told apart") {
  CHECK(from_errno(ENOSPC, "write", "x").code == ec::disk_full);
  CHECK(from_errno(EACCES, "write", "x").code == ec::permission_denied);
  CHECK(from_errno(EMFILE, "open", "x").code == ec::resource_exhausted);
  CHECK(from_errno(EXDEV, "open", "x").code == ec::invalid_argument);
}

TEST_CASE("result: holds a value or the reason why there is none") {
  result<int> good{7};
  result<int> bad{error{ec::not_found, "no", ""}};
  CHECK(good.ok());
  CHECK(*good == 7);
  CHECK(!bad);
  CHECK(bad.why().code == ec::not_found);
  CHECK(result<void>{}.ok());
  CHECK(result<void>{error{ec::internal, "x", ""}}.why().message == "x");
}
