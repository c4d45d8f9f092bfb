#include "tests/fuzz/seeds.hpp"

#include <cstring>

#include "gateways/bus/grpc_frame.hpp"
#include "io/json_log.hpp"
#include "runtime/journal.hpp"
#include "runtime/journal_segment.hpp"
#include "runtime/world.hpp"
#include "tests/runtime/world_rig.hpp"

namespace gantry::fuzz {

namespace {

using seeds = std::vector<std::string>;

/// What a server of TLS says first, without an extension.
std::string server_hello() {
  const std::string none(1, '\0');
  return "\x20\x16\3\3" + none + "\x2a\2" + none + none + "\x26\3\3" + std::string(32, 'r')
         + none + "\xc0\x2b" + none;
}

/// A container from its first record to its last, with an exec in between.
std::vector<journal::Record> life() {
  runtime::testing::scribe s;
  std::vector<journal::Record> all{s.creating(true, "request-1"), s.created(), s.started(),
                                   s.exec_adding("e1", "request-2")};
  auto add = [&all, &s](const char* process) -> journal::Record& {
    all.push_back(s.record(process));
    return all.back();
  };
  add("e1").mutable_exec_started()->set_start_ticks(6000);
  all.push_back(s.died("e1", 3));
  add("e1").mutable_exited()->mutable_exit()->set_exit_code(3);
  add("init").mutable_killed()->set_signal(15);
  add("").mutable_updated()->mutable_resources()->set_memory_bytes(1 << 22);
  add("init").mutable_oom();
  auto& answered = add("");
  answered.set_request_id("request-2");
  answered.mutable_answered()->set_method("Exec");
  add("init").mutable_exited()->mutable_exit()->set_signal(9);
  add("").mutable_deleting();
  add("").mutable_deleted();
  add("").mutable_supervisor_stopping();
  return all;
}

seeds segments() {
  const auto head = encode(runtime::segment_header{.version = runtime::journal_format,
                                                   .first_seq = 1, .epoch = 1, .boot_hash = 2,
                                                   .created_ns = 3});
  std::string whole(head.data(), head.size());
  seeds all{whole};
  for (const auto& r : life()) {
    const auto payload = r.SerializeAsString();
    all.push_back(payload); // The fuzzer takes a bare record, too.
    std::string framed(runtime::record_header_bytes, '\0');
    framed += payload;
    runtime::seal_record(framed.data(), uint32_t(payload.size()), r.seq());
    whole += framed;
  }
  all.push_back(whole);
  all.push_back(whole + std::string(200, '\0'));
  return all;
}

seeds snapshots() {
  seeds all;
  runtime::world w;
  for (const auto& r : life()) {
    w.apply(r);
    auto s = w.save();
    s.set_seq(7);
    all.push_back(s.SerializeAsString());
  }
  return all;
}

seeds configs() {
  const std::string process = R"("process":{"args":["sh"],"cwd":"/","env":["A=1"],"user":{"uid":0,)"
                              R"("gid":0},"capabilities":{"bounding":["CAP_KILL"]},"rlimits":)"
                              R"([{"type":"RLIMIT_CORE","hard":0,"soft":0}],"terminal":false})";
  const std::string mounts = R"("mounts":[{"destination":"/proc","type":"proc","source":"proc"},)"
                             R"({"destination":"/tmp","options":["nosuid"],"source":"t"}])";
  const std::string linux = R"("linux":{"cgroupsPath":"/x","namespaces":[{"type":"pid"},)"
                            R"({"type":"network","path":"/proc/1/ns/net"}],"resources":{"memory":)"
                            R"({"limit":1048576},"cpu":{"shares":2},"pids":{"limit":5}},)"
                            R"("seccomp":{"defaultAction":"SCMP_ACT_ALLOW"}})";
  return {"{}", R"({"ociVersion":"1.0.2","root":{"path":"rootfs","readonly":true},)" + process
                  + R"(,"hostname":"h",)" + mounts + "," + linux
                  + R"(,"annotations":{"a":"b"},"hooks":{"prestart":[{"path":"/bin/true"}]}})",
          R"({"root":{"path":"/r"},"process":{"args":[]}})"};
}

seeds log_lines() {
  seeds all;
  for (std::string_view text :
       {"hello\n", "two\nlines\n", "\xff\xfe raw\n", "\"\\\t\xe2\x80\xa8\n"}) {
    io::page_buffer out;
    io::append_records(text, 0, {.time_ns = 1'764'110'400'123'456'789, .to_end = true}, out);
    all.emplace_back(out.text().substr(0, out.text().find('\n')));
    all.emplace_back(text);
  }
  all.emplace_back(R"({"log":"\u0041\ud83d\ude00","stream":"stderr","attrs":{"a":"b"},)"
                   R"("time":"2026-11-25T22:40:00+01:00"})");
  return all;
}

seeds runtime_logs() {
  using namespace std::string_literals;
  return {R"({"level":"error","msg":"exec: \"x\": executable file not found in $PATH","time":"t"})"
          "\n"
          R"({"level":"warning","msg":"w"})"
          "\n\0runc run failed: unable to start container process"s,
          "time=\"2026-11-25\" level=error msg=\"container does not exist\"\n"s, "\0plain words"s};
}

std::string framed_message(const std::string& payload) {
  std::string out{'\0'};
  for (int shift = 24; shift >= 0; shift -= 8)
    out += static_cast<char>(payload.size() >> shift);
  return out + payload;
}

std::string http2_frame(uint8_t type, uint8_t flags, uint8_t stream, const std::string& payload) {
  std::string out;
  for (int shift = 16; shift >= 0; shift -= 8)
    out += static_cast<char>(payload.size() >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  out += std::string(3, '\0') + static_cast<char>(stream);
  return out + payload;
}

/// Header fields as literals that no table remembers (RFC 7541, 6.2.2).
std::string header_block(const std::string& path) {
  std::string out;
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
         {":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "x"},
         {"content-type", "application/grpc"}, {"te", "trailers"}, {"grpc-timeout", "5S"}})
    out += std::string{'\0'} + static_cast<char>(name.size()) + name
           + static_cast<char>(value.size()) + value;
  return out;
}

seeds http2() {
  v1::CreateRequest create;
  create.mutable_ref()->set_id("web");
  create.mutable_spec()->set_rootfs("/r");
  create.mutable_spec()->add_args("sh");
  v1::FollowRequest follow;
  seeds all;
  const std::vector<std::pair<std::string, std::string>> calls{
    {"/gantry.v1.Supervisor/Version", ""}, {"/gantry.v1.Containers/Create",
                                            create.SerializeAsString()},
    {"/gantry.v1.Events/Follow", follow.SerializeAsString()}, {"/gantry.v1.Logs/Read", ""},
    {"/grpc.health.v1.Health/Check", ""},
    {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "\x3a\1*"}, // list_services
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "\"\4a.b."}};
  for (const char first : {'\3', '\1', '\x21'}) {
    std::string together{first};
    uint8_t stream = 1;
    for (const auto& [path, payload] : calls) {
      const auto call = http2_frame(1, 4, stream, header_block(path)) // HEADERS, END_HEADERS
                        + http2_frame(0, 1, stream, framed_message(payload)); // DATA, END_STREAM
      all.push_back(first + call);
      together += call;
      stream += 2;
    }
    together += http2_frame(8, 0, 1, std::string("\0\0\1\0", 4))   // WINDOW_UPDATE
                + http2_frame(6, 0, 0, std::string(8, 'p'))        // PING
                + http2_frame(3, 0, 3, std::string("\0\0\0\x8", 4)) // RST_STREAM, CANCEL
                + http2_frame(7, 0, 0, std::string(8, '\0'));      // GOAWAY
    all.push_back(together);
  }
  return all;
}

} // namespace

std::vector<std::string> seeds_of(std::string_view name) {
  if (name == "journal")
    return segments();
  if (name == "snapshot")
    return snapshots();
  if (name == "bundle_json")
    return configs();
  if (name == "json_log")
    return log_lines();
  if (name == "runtime_log")
    return runtime_logs();
  if (name == "http2")
    return http2();
  if (name == "http_request")
    return {"\3GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n",
            "\1GET /metrics?a=b HTTP/1.0\nConnection: keep-alive\n\nHEAD / HTTP/1.1\r\n\r\n",
            "\5POST /x HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd", "\2\r\n\r\nGET",
            "\7GET /" + std::string(5000, 'x') + " HTTP/1.1\r\n\r\n"};
  if (name == "probe_http")
    return {"\3HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "\1HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 503 Busy\r\n\r\n",
            "\xffHTTP/1.0 404\n", "\7\r\nHTTP/1.1 101 x\r\n\r\n",
            "\x40HTTP/1.1 " + std::string(300, '9'), server_hello(),
            "\7\x15\3\3" + std::string(1, '\0') + "\2\2\x28"};
  if (name == "grpc_frame")
    return {"\1" + framed_message("hello"), "\4" + framed_message(std::string(300, 'x')),
            "\1" "5S", "\1" "99999999H", "\1" "caf\xc3\xa9 100%25\n"};
  if (name == "notify")
    return {"READY=1\nSTATUS=up\nWATCHDOG_USEC=5000000\n", "WATCHDOG=1", "WATCHDOG=trigger\n\n",
            "STOPPING=1\nEXTEND_TIMEOUT_USEC=18446744073709551615", "RELOADING=1\nMONOTONIC_USEC=7",
            "STATUS=caf\xc3\xa9 \xff\nBARRIER=1\nX=\n=\n"};
  if (name == "detach_keys")
    return {"ctrl-p,ctrl-q\nls\r\x10x\x10\x10\x11", "a,a,b\naaaabaab", "\n\x10\x11",
            "a,b,a,c\nababac", "ctrl-@\nx", "ctrl-\nx", "a,,b\nx"};
  if (name == "accounts") {
    const std::string files = std::string("\0root:x:0:0::/:\nweb:x:33:34::/:\n\0", 33)
                              + "root:x:0:\nweb:x:34:\nstaff:x:50:web,a\nvideo:x:44:b,web";
    return {"web" + files, "web:staff" + files, "33" + files, "5:video" + files, "nobody" + files,
            "1:2", "-1", "a:b:c"};
  }
  if (name == "env_file")
    return {"A=1\n# c\n\n B = 2\nAB\r\n", "\xef\xbb\xbfX=\"y z\"\n", "/a:/b:ro,rshared",
            "type=bind,\"source=/a,b\",target=/t,readonly", "/t:size=1m,exec", "nofile=1:2",
            "/dev/kvm:/dev/x:rw"};
  if (name == "seccomp")
    return {R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"archMap":[{"architecture":)"
            R"("SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],"syscalls":[{"names":)"
            R"(["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":)"
            R"("SCMP_CMP_EQ"}],"includes":{"caps":["CAP_KILL"],"arches":["amd64"],"minKernel":)"
            R"("4.8"},"excludes":{"caps":["CAP_BPF"]}},{"name":"open","action":)"
            R"("SCMP_ACT_NOTIFY"}]})",
            R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":[],"flags":[]})"};
  if (name == "ids")
    return {"web", "web.1_2-3\nns", "SIGTERM", "9", "RTMIN+3", "rtmax-1", "init",
            std::string(128, 'a')};
  return {};
}

} // namespace gantry::fuzz
