#include "runtime/probe_tls.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "messages/check.hpp"
#include "runtime/foreign_text.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t most_tls_bytes = 1u << 20; ///< Before a verdict, with all that TLS adds.
constexpr size_t piece_bytes = 4096;
constexpr size_t longest_sni = 253;

template <auto Free>
struct freed {
  template <class T>
  void operator()(T* x) const noexcept {
    Free(x);
  }
};
using context_ptr = std::unique_ptr<SSL_CTX, freed<SSL_CTX_free>>;
using ssl_ptr = std::unique_ptr<SSL, freed<SSL_free>>;

/// What OpenSSL says of its last failure; its queue is empty then.
std::string tls_words() {
  const char* words = ERR_reason_error_string(ERR_get_error());
  ERR_clear_error();
  return words != nullptr ? words : "unknown reason";
}

error no_tls() {
  return {ec::unsupported, "OpenSSL cannot speak TLS here: " + tls_words(),
          "look at its configuration, /etc/ssl/openssl.cnf"};
}

/// That of all probes: it knows nothing of any of them.
SSL_CTX* shared_context() {
  static const context_ptr made = [] {
    context_ptr c{SSL_CTX_new(TLS_client_method())};
    if (!c)
      return c;
    SSL_CTX_set_min_proto_version(c.get(), TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(c.get(), SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(c.get(), SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_verify(c.get(), SSL_VERIFY_NONE, nullptr);
    return c;
  }();
  return made.get();
}

bool same_letters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return x == y || (x >= 'A' && x <= 'Z' && x + 32 == y);
  });
}

/// Whom the question means: its host, by whichever field, without a port; else its address.
std::string peer_name(const probe_question& q) {
  auto name = q.host;
  for (const auto& [key, value] : q.headers)
    if (same_letters(key, "host"))
      name = value;
  if (name.starts_with('['))
    name = name.substr(1, name.find(']') - 1);
  else if (const auto colon = name.find(':');
           colon != std::string::npos && colon == name.rfind(':'))
    name.resize(colon);
  return name.empty() ? q.address : name;
}

bool is_ip(const std::string& text) {
  in6_addr any{};
  return inet_pton(AF_INET, text.c_str(), &any) == 1
         || inet_pton(AF_INET6, text.c_str(), &any) == 1;
}

bool is_host_name(std::string_view text) {
  return text.size() <= longest_sni && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || c == '-' || c == '.' || c == '_';
  });
}

/// An alert or a part of a handshake.
bool begins_tls(std::string_view bytes) {
  return bytes[0] == '\x15' || bytes[0] == '\x16';
}

class tls_talk final : public probe_talk {
public:
  tls_talk(ssl_ptr s, std::unique_ptr<probe_talk> what)
    : ssl_(std::move(s)), in_(BIO_new(BIO_s_mem())), out_(BIO_new(BIO_s_mem())),
      inner_(std::move(what)) {
    GANTRY_CHECK(in_ != nullptr && out_ != nullptr);
    SSL_set_bio(ssl_.get(), in_, out_); // They are its own now.
    SSL_set_connect_state(ssl_.get());
  }

  std::string output() override {
    char* bytes = nullptr;
    const auto size = BIO_get_mem_data(out_, &bytes);
    std::string all(bytes, size_t(std::max(size, 0L)));
    BIO_reset(out_);
    return all;
  }

  state feed(std::string_view bytes) override {
    if (taken_ == 0 && !begins_tls(bytes))
      return refuse("this is no TLS: " + shown(bytes.substr(0, bytes.find_first_of("\r\n"))));
    taken_ += bytes.size();
    GANTRY_CHECK(BIO_write(in_, bytes.data(), int(bytes.size())) == int(bytes.size()));
    const auto now = advance();
    if (now == state::more && taken_ > most_tls_bytes)
      return refuse("it says more than 1048576 bytes and gives no answer");
    return now;
  }

  state end() override {
    if (taken_ == 0)
      return refuse("it closed the connection without an answer");
    if (SSL_is_init_finished(ssl_.get()) == 0)
      return refuse("it closed the connection within the TLS handshake");
    return inner_->end();
  }

  [[nodiscard]] std::string text() const override {
    return text_.empty() ? inner_->text() : text_;
  }

  [[nodiscard]] std::string_view waits_for() const override {
    return SSL_is_init_finished(ssl_.get()) == 0 ? "the TLS handshake" : inner_->waits_for();
  }

  /// As far as it goes with what has come.
  state advance() {
    ERR_clear_error();
    if (SSL_is_init_finished(ssl_.get()) == 0) {
      const int n = SSL_do_handshake(ssl_.get());
      if (n != 1 && SSL_get_error(ssl_.get(), n) == SSL_ERROR_WANT_READ)
        return state::more;
      if (n != 1)
        return refuse("the TLS handshake failed: " + tls_words());
    }
    std::array<char, piece_bytes> piece{};
    while (say()) {
      const int n = SSL_read(ssl_.get(), piece.data(), int(piece.size()));
      if (n <= 0)
        return silent(n);
      if (const auto now = inner_->feed({piece.data(), size_t(n)}); now != state::more)
        return now;
    }
    return refuse("the TLS connection broke: " + tls_words());
  }

private:
  state refuse(std::string why) {
    ERR_clear_error();
    text_ = std::move(why);
    return state::failed;
  }

  /// Nothing could be read.
  state silent(int n) {
    switch (SSL_get_error(ssl_.get(), n)) {
      case SSL_ERROR_WANT_READ: return state::more;
      case SSL_ERROR_ZERO_RETURN: return inner_->end();
      default: return refuse("the TLS connection broke: " + tls_words());
    }
  }

  bool say() {
    for (auto bytes = inner_->output(); !bytes.empty();) {
      const int n = SSL_write(ssl_.get(), bytes.data(), int(bytes.size()));
      if (n <= 0)
        return false;
      bytes.erase(0, size_t(n));
    }
    return true;
  }

  ssl_ptr ssl_;
  BIO* in_;  ///< What has come.
  BIO* out_; ///< What is to go.
  std::unique_ptr<probe_talk> inner_;
  size_t taken_ = 0;
  std::string text_; ///< Why TLS had no verdict of `inner_`; empty: it has.
};

} // namespace

void prepare_tls() {
  OPENSSL_init_ssl(0, nullptr);
  ERR_clear_error(); // Whoever wants to speak TLS is told.
}

result<void> check_tls() {
  if (shared_context() == nullptr)
    return no_tls();
  return {};
}

result<std::unique_ptr<probe_talk>> tls_talk_of(const probe_question& q,
                                                std::unique_ptr<probe_talk> inner) {
  constexpr std::array<unsigned char, 9> http{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  ERR_clear_error();
  ssl_ptr s{shared_context() == nullptr ? nullptr : SSL_new(shared_context())};
  if (!s || SSL_set_alpn_protos(s.get(), http.data(), http.size()) != 0)
    return no_tls();
  const auto name = peer_name(q);
  if (!is_ip(name) && is_host_name(name)
      && SSL_set_tlsext_host_name(s.get(), name.c_str()) != 1)
    return no_tls();
  auto out = std::make_unique<tls_talk>(std::move(s), std::move(inner));
  if (out->advance() != probe_talk::state::more) // Its first word.
    return error{ec::unsupported, out->text(), "look at /etc/ssl/openssl.cnf"};
  return std::unique_ptr<probe_talk>{std::move(out)};
}

} // namespace gantry::runtime
