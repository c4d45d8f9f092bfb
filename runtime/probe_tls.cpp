#include "runtime/probe_tls.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "messages/check.hpp"
#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t most_authorities = 64u << 10; ///< Of a question's certificates: they are kept.
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
using store_ptr = std::unique_ptr<X509_STORE, freed<X509_STORE_free>>;
using certificate_ptr = std::unique_ptr<X509, freed<X509_free>>;
using bio_ptr = std::unique_ptr<BIO, freed<BIO_free>>;

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

error no_certificates(std::string_view why) {
  return bad("probe tls_ca", why, "give certificates in PEM: --health-tls-ca /path/ca.crt");
}

/// What a server's certificate must lead to: one of these, of whatever rank.
result<store_ptr> store_of(const std::string& pem) {
  if (pem.size() > most_authorities)
    return no_certificates(std::to_string(pem.size()) + " bytes, more than 65536");
  if (pem.find("PRIVATE KEY-----") != std::string::npos)
    return no_certificates("a file with a private key"); // It would be kept, and shown.
  store_ptr out{X509_STORE_new()};
  const bio_ptr in{BIO_new_mem_buf(pem.data(), int(pem.size()))};
  GANTRY_CHECK(out && in);
  X509_STORE_set_flags(out.get(), X509_V_FLAG_PARTIAL_CHAIN);
  size_t found = 0;
  ERR_clear_error();
  while (const certificate_ptr one{PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)}) {
    if (X509_STORE_add_cert(out.get(), one.get()) != 1)
      return no_certificates(tls_words());
    ++found;
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const auto words = tls_words();
  if (!at_end)
    return no_certificates("one that is damaged (" + words + ")");
  if (found == 0)
    return no_certificates("a text without a certificate");
  return out;
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
  tls_talk(ssl_ptr s, std::unique_ptr<probe_talk> what, std::string whom)
    : ssl_(std::move(s)), in_(BIO_new(BIO_s_mem())), out_(BIO_new(BIO_s_mem())),
      inner_(std::move(what)), name_(std::move(whom)) {
    GANTRY_CHECK(in_ != nullptr && out_ != nullptr);
    SSL_set_bio(ssl_.get(), in_, out_); // They are its own now.
    SSL_set_connect_state(ssl_.get());
  }

  std::string output() override {
    char* bytes = nullptr;
    const auto size = BIO_get_mem_data(out_, &bytes);
    std::string all(bytes, size_t(std::max(size, 0L)));
    (void)BIO_reset(out_);
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
        return unfinished();
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

  state unfinished() {
    const auto verdict = SSL_get_verify_result(ssl_.get());
    if (SSL_get_verify_mode(ssl_.get()) == SSL_VERIFY_NONE || verdict == X509_V_OK)
      return refuse("the TLS handshake failed: " + tls_words());
    auto why = std::string{"its certificate is not good: "}
               + X509_verify_cert_error_string(verdict);
    if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH)
      why += " (it must be one of " + shown(name_) + ")";
    return refuse(std::move(why));
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
  std::string name_;
  size_t taken_ = 0;
  std::string text_; ///< Why TLS had no verdict of `inner_`; empty: it has.
};

/// @returns False where OpenSSL does not take it.
bool ask_for(SSL* s, const std::string& name, bool verified) {
  const bool ip = is_ip(name);
  if (!ip && is_host_name(name) && SSL_set_tlsext_host_name(s, name.c_str()) != 1)
    return false;
  if (!verified)
    return true;
  SSL_set_verify(s, SSL_VERIFY_PEER, nullptr);
  return ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s), name.c_str()) == 1
            : SSL_set1_host(s, name.c_str()) == 1;
}

} // namespace

void prepare_tls() {
  OPENSSL_init_ssl(0, nullptr);
  ERR_clear_error(); // Whoever wants to speak TLS is told.
}

result<void> check_tls(const probe_question& q) {
  if (shared_context() == nullptr)
    return no_tls();
  if (q.tls_ca.empty())
    return {};
  if (const auto store = store_of(q.tls_ca); !store)
    return store.why();
  if (const auto name = peer_name(q); !is_ip(name) && !is_host_name(name))
    return bad("probe host", shown(name), "use a name that can stand in a certificate");
  return {};
}

result<std::unique_ptr<probe_talk>> tls_talk_of(const probe_question& q,
                                                std::unique_ptr<probe_talk> inner) {
  ERR_clear_error();
  ssl_ptr s{shared_context() == nullptr ? nullptr : SSL_new(shared_context())};
  const auto name = peer_name(q);
  const bool verified = !q.tls_ca.empty();
  if (!s || !ask_for(s.get(), name, verified))
    return no_tls();
  if (verified) { // Nothing of it stays behind the probe.
    auto store = store_of(q.tls_ca);
    if (!store)
      return store.why();
    SSL_set1_verify_cert_store(s.get(), store->get());
  }
  constexpr std::string_view http = "\x08http/1.1";
  constexpr std::string_view grpc = "\x02h2";
  const auto words = q.kind == probe_kind::grpcs ? grpc : http;
  if (SSL_set_alpn_protos(s.get(), reinterpret_cast<const unsigned char*>(words.data()),
                          unsigned(words.size())) != 0)
    return no_tls();
  auto out = std::make_unique<tls_talk>(std::move(s), std::move(inner), name);
  if (out->advance() != probe_talk::state::more) // Its first word.
    return error{ec::unsupported, out->text(), "look at /etc/ssl/openssl.cnf"};
  return std::unique_ptr<probe_talk>{std::move(out)};
}

} // namespace gantry::runtime
