#include "runtime/accounts.hpp"

#include <catch2/catch.hpp>

#include "host_rig.hpp"
#include "runtime/bundle.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

namespace {

constexpr std::string_view passwd = "root:x:0:0:root:/root:/bin/sh\n"
                                    "# web:x:1:1::/:\n"
                                    "\n"
                                    "web:x:70000000000:33\n" // no such number: no entry
                                    "web:x:33\n"
                                    "web:x:33:34::/srv:/bin/sh\n"
                                    "web:x:99:99::/:\n" // the second one of its name
                                    "other:x:33:77::/:\n"
                                    "last:*:40:41";
constexpr std::string_view group = "root:x:0:\n"
                                   "staff:x:50:web,last\n"
                                   "web:x:34:web\n"
                                   "video:x:44:someone,web\n"
                                   "again:x:50:web\n"
                                   "weber:x:60:webx,aweb\n"
                                   "bad:x:nine:web\n"
                                   "bad:x:9";

result<user_ids> found(std::string_view text) {
  auto words = parse_user(text);
  REQUIRE(words.ok());
  return find_user(*words, passwd, group);
}

} // namespace

TEST_CASE("accounts: names become numbers, with the groups that name them") {
  CHECK(*found("web") == user_ids{33, 34, {44, 50}});
  CHECK(*found("root") == user_ids{0, 0, {}});
  CHECK(*found("last") == user_ids{40, 41, {50}}); // a last line without its newline
  CHECK(*found("33") == user_ids{33, 34, {44, 50}}); // docker looks up numbers, too
  CHECK(*found("12345") == user_ids{12345, 0, {}});
  CHECK(*found("") == user_ids{0, 0, {}});
}

TEST_CASE("accounts: a group that is named is the only one") {
  CHECK(*found("web:staff") == user_ids{33, 50, {}});
  CHECK(*found("web:7") == user_ids{33, 7, {}});
  CHECK(*found("7:staff") == user_ids{7, 50, {}});
  CHECK(*found("33:8") == user_ids{33, 8, {}});
  CHECK(*found("web:bad") == user_ids{33, 9, {}});
}

TEST_CASE("accounts: what is not there is named, with its file") {
  CHECK(found("nobody").why().text()
        == "user: there is no user \"nobody\" in the container's /etc/passwd (use a name that is "
           "in there, or numbers: UID or UID:GID)");
  CHECK(found("web:none").why().message
        == "user: there is no group \"none\" in the container's /etc/group");
  CHECK(found("weber").why().code == ec::invalid_argument);
  std::string many;
  for (int i = 100; i < 1200; ++i)
    many += "g" + std::to_string(i) + ":x:" + std::to_string(i) + ":web\n";
  CHECK(find_user(*parse_user("web"), passwd, many).why().code == ec::resource_exhausted);
  CHECK(find_user(*parse_user("web:g100"), passwd, many)->gid == 100);
}

TEST_CASE("accounts: what can be neither a number nor a name is refused") {
  for (const char* wrong : {":", ":5", "5:", "a:b:c", "-1", "+web", "#x", "a b", "a\nb", "a/b",
                            "a,b", "4294967295", "99999999999", "web:4294967295", "\xff", "\x7f"})
    CHECK(parse_user(wrong).why().message.starts_with("user: "));
  CHECK_FALSE(parse_user(std::string(257, 'a')).ok());
  CHECK_FALSE(parse_user(std::string_view("a\0b", 3)).ok());
  CHECK(parse_user("1:2")->complete());
  CHECK_FALSE(parse_user("1")->complete());
  CHECK(user_json(*parse_user("web"))["uid"] == 65534); // never root by mistake
  CHECK(user_json(*parse_user("5:web"))["gid"] == 65534);
}

TEST_CASE("accounts: the files are looked for beneath the root, and nowhere else", "[uring]") {
  host_rig rig;
  const auto root = rig.dir + "/r";
  std::filesystem::create_directories(root + "/etc");
  const auto look = [&rig, &root](const std::string& user) {
    return rig.wait<std::string>([&](auto f) {
      look_up_identity(*rig.loop, root, {user, {}}, [f](const result<identity>& x) {
        const auto shown = [&x] {
          return nlohmann::json{x->user->uid, x->user->gid, x->user->groups}.dump();
        };
        f(x ? result<std::string>(shown()) : x.why());
      });
    });
  };
  CHECK(*look("5") == "[5,0,[]]");
  CHECK(*look("5:6") == "[5,6,[]]");
  const auto none = look("web").why();
  CHECK(none.code == ec::invalid_argument);
  CHECK(none.message.find(root + "/etc/passwd") != std::string::npos);
  host_rig::spill(root + "/etc/passwd", std::string(passwd));
  CHECK(*look("web") == "[33,34,[]]"); // without /etc/group there are no groups
  CHECK(look("web:staff").why().message.find("/etc/group") != std::string::npos);
  host_rig::spill(root + "/etc/group", std::string(group));
  CHECK(*look("web") == "[33,34,[44,50]]");
  std::filesystem::remove(root + "/etc/passwd");
  std::filesystem::create_symlink("/etc/passwd", root + "/etc/passwd");
  CHECK_FALSE(look("root").ok()); // the host's root is not the container's: a link to itself
  CHECK(*look("0") == "[0,0,[]]");
  std::filesystem::remove(root + "/etc/passwd");
  std::filesystem::create_symlink("real", root + "/etc/passwd");
  host_rig::spill(root + "/etc/real", std::string(passwd));
  CHECK(look("web").ok());
  // As image builders and NixOS have it: an absolute link begins at the container's root.
  std::filesystem::create_directories(root + "/nix/store");
  host_rig::spill(root + "/nix/store/passwd", "deep:x:71:72::/:\n");
  std::filesystem::remove(root + "/etc/passwd");
  std::filesystem::create_symlink("/nix/store/passwd", root + "/etc/passwd");
  CHECK(*look("deep") == "[71,72,[]]");
  std::filesystem::remove(root + "/etc/passwd");
  std::filesystem::create_symlink("../../../../nix/store/passwd", root + "/etc/passwd");
  CHECK(*look("deep") == "[71,72,[]]"); // nor do dots lead out
  std::filesystem::remove(root + "/etc/passwd");
  std::filesystem::create_symlink("real", root + "/etc/passwd");
  host_rig::spill(root + "/etc/real", std::string((1u << 20) + 1, 'x'));
  CHECK(look("web").why().code == ec::resource_exhausted);
}

TEST_CASE("accounts: further groups by name, with and without a user", "[uring]") {
  CHECK(*find_groups({"video", "staff", "again"}, group) == std::vector<uint32_t>{44, 50});
  CHECK(find_groups({"staff", "none"}, group).why().text()
        == "group_names: there is no group \"none\" in the container's /etc/group (use a name "
           "that is in there, or its number)");
  CHECK_FALSE(find_groups({"50"}, group).ok()); // A number is no name.

  host_rig rig;
  const auto root = rig.dir + "/r";
  std::filesystem::create_directories(root + "/etc");
  const auto look = [&rig, &root](const identity_words& words) {
    return rig.wait<identity>(
      [&](auto f) { look_up_identity(*rig.loop, root, words, [f](auto x) { f(std::move(x)); }); });
  };
  CHECK(look({"", {"video"}}).why().message.find(root + "/etc/group") != std::string::npos);
  CHECK(look({"5:6", {"video"}}).why().code == ec::invalid_argument);
  host_rig::spill(root + "/etc/group", std::string(group));
  const auto alone = look({"", {"video", "staff"}});
  REQUIRE(alone.ok());
  CHECK_FALSE(alone->user);
  CHECK(alone->groups == std::vector<uint32_t>{44, 50});
  const auto both = look({"5:6", {"video"}});
  REQUIRE(both.ok());
  CHECK(*both->user == user_ids{5, 6, {}});
  nlohmann::json process{{"user", {{"uid", 1}, {"gid", 2}, {"additionalGids", {7, 44}}}}};
  put_identity(process, *alone);
  CHECK(process["user"]
        == nlohmann::json({{"uid", 1}, {"gid", 2}, {"additionalGids", {7, 44, 50}}}));
  std::filesystem::remove(root + "/etc/group");
  std::filesystem::create_symlink("/etc/group", root + "/etc/group");
  CHECK_FALSE(look({"", {"root"}}).ok()); // The host's is not it.
}

TEST_CASE("accounts: a config gets the numbers, its further groups stay") {
  nlohmann::json process{{"user", {{"uid", 1}, {"gid", 2}, {"additionalGids", {7, 50}}}}};
  put_user(process, {33, 34, {44, 50}});
  CHECK(process["user"]
        == nlohmann::json({{"uid", 33}, {"gid", 34}, {"additionalGids", {7, 50, 44}}}));
  nlohmann::json plain;
  put_user(plain, {1, 2, {}});
  CHECK(plain["user"] == nlohmann::json({{"uid", 1}, {"gid", 2}}));
}
