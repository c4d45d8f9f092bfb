#include "apps/gantry/spec_words.hpp"

#include <catch2/catch.hpp>

using namespace gantry;
using namespace gantry::cli;

namespace {

std::vector<std::string> options_of(const v1::Mount& m) {
  return {m.options().begin(), m.options().end()};
}

using list = std::vector<std::string>;

result<list> env_of(std::string_view text) {
  return parse_env_file(text, "f.env",
                        [](const std::string& name) { return name == "OURS" ? "here" : nullptr; });
}

} // namespace

TEST_CASE("words: -v is a bind of the host") {
  const auto m = parse_volume("/srv/a:/data:ro,rshared").value();
  CHECK(m.type() == "bind");
  CHECK(m.source() == "/srv/a");
  CHECK(m.target() == "/data");
  CHECK(m.read_only());
  CHECK(options_of(m) == list{"rshared"});
  CHECK(parse_volume("./a/../b:/x").value().source().ends_with("/b"));
  CHECK(parse_volume("data:/x").why().cure.find("-v /srv/data:/x") != std::string::npos);
  CHECK(parse_volume("/a:/b:Z").why().cure.find("chcon") != std::string::npos);
  for (const char* wrong : {"", "/a", "/a:", "/a:/b:c:d", ":/x"})
    CHECK_FALSE(parse_volume(wrong).ok());
}

TEST_CASE("words: --mount has fields, in quotes where they hold a comma") {
  auto m = parse_mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave").value();
  CHECK(m.source() == "/a");
  CHECK(m.target() == "/b");
  CHECK(m.read_only());
  CHECK(options_of(m) == list{"rslave"});
  m = parse_mount("type=bind,\"source=/a,b\",target=/c,readonly=false").value();
  CHECK(m.source() == "/a,b");
  CHECK_FALSE(m.read_only());
  m = parse_mount("type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=700").value();
  CHECK(options_of(m) == list{"size=64m", "mode=700"});
  CHECK(parse_mount("source=vol,target=/x").why().message.find("volumes") != std::string::npos);
  for (const char* wrong : {"", "type=bind,target=/x", "type=tmpfs", "type=x,target=/x",
                            "type=bind,colour=red", "\"type=bind"})
    CHECK_FALSE(parse_mount(wrong).ok());
}

TEST_CASE("words: --tmpfs, --ulimit, --device") {
  CHECK(options_of(parse_tmpfs("/t:size=1m,exec").value()) == list{"size=1m", "exec"});
  CHECK(parse_tmpfs("/t").value().target() == "/t");
  CHECK_FALSE(parse_tmpfs(":x").ok());
  const auto limit = parse_ulimit("nofile=1024:2048").value();
  CHECK(limit.type() == "RLIMIT_NOFILE");
  CHECK(limit.soft() == 1024);
  CHECK(limit.hard() == 2048);
  CHECK(parse_ulimit("core=-1").value().soft() == UINT64_MAX);
  for (const char* wrong : {"nofile", "nofile=", "nofile=2:1", "nofile=1:2:3", "=1", "nofile=x"})
    CHECK_FALSE(parse_ulimit(wrong).ok());
  const auto device = parse_device("/dev/sda:/dev/x:r").value();
  CHECK(device.path() == "/dev/x");
  CHECK(device.access() == "r");
  CHECK(parse_device("/dev/sda:rw").value().access() == "rw");
  for (const char* wrong : {"", "sda", "/dev/a:/dev/b:q", "/dev/a:rw:rw"})
    CHECK_FALSE(parse_device(wrong).ok());
}

TEST_CASE("words: --security-opt, in both ways to write it") {
  v1::Security s;
  const auto read = [](const std::string& file) -> result<std::string> {
    return file == "p.json" ? result<std::string>("{}")
                            : error{ec::not_found, file + ": No such file", ""};
  };
  for (const char* text : {"no-new-privileges:false", "apparmor=web", "seccomp=p.json",
                           "label=a:b:c:s0", "writable-cgroups", "systempaths=unconfined"})
    CHECK(add_security(text, read, s).ok());
  CHECK(s.has_no_new_privileges());
  CHECK_FALSE(s.no_new_privileges());
  CHECK(s.apparmor() == "web");
  CHECK(s.seccomp() == "{}");
  CHECK(s.selinux() == "a:b:c:s0");
  CHECK(s.writable_cgroups());
  CHECK(s.unmasked());
  CHECK(add_security("no-new-privileges", read, s).ok());
  CHECK(s.no_new_privileges());
  CHECK(add_security("seccomp=unconfined", read, s).ok());
  CHECK(s.seccomp() == "unconfined");
  CHECK(add_security("seccomp=none.json", read, s).why().message == "none.json: No such file");
  for (const char* wrong : {"", "x=y", "no-new-privileges=maybe", "apparmor", "label=type:x"})
    CHECK_FALSE(add_security(wrong, read, s).ok());
}

TEST_CASE("words: an environment file is taken as it is") {
  CHECK(env_of("A=1\n\n  # note\n\tB=\"x y\" \nOURS\nNOT_SET\nC==\r\n").value()
        == list{"A=1", "B=\"x y\" ", "OURS=here", "C=="});
  CHECK(env_of("\xef\xbb\xbf"
               "A=1")
          .value()
        == list{"A=1"});
  CHECK(env_of("").value().empty());
  CHECK(env_of("A=1\nB C=2\n").why().message.starts_with("f.env, line 2: \"B C\""));
  CHECK_FALSE(env_of("=x").ok());
  CHECK_FALSE(env_of("A=\xff").ok());
  CHECK_FALSE(env_of(std::string_view("A=\0", 3)).ok());
}
