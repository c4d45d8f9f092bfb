#pragma once

#include <catch2/catch.hpp>
#include <ctime>
#include <memory>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string>

namespace gantry::runtime {

/// A certificate with its key, made for a test.
struct certificate {
  std::shared_ptr<EVP_PKEY> key;
  std::shared_ptr<X509> x509;

  [[nodiscard]] std::string pem() const {
    const std::shared_ptr<BIO> out(BIO_new(BIO_s_mem()), BIO_free);
    REQUIRE(PEM_write_bio_X509(out.get(), x509.get()) == 1);
    char* bytes = nullptr;
    const auto size = BIO_get_mem_data(out.get(), &bytes);
    return {bytes, size_t(size)};
  }
};

/// @param names As `DNS:localhost,IP:127.0.0.1`; empty: an authority.
/// @param issuer Null: it signs itself.
/// @param hours How long it is good yet; negative: it was until then.
inline certificate make_certificate(const std::string& names, const certificate* issuer = nullptr,
                                    long hours = 24) {
  certificate out{{EVP_EC_gen("P-256"), EVP_PKEY_free}, {X509_new(), X509_free}};
  static long number = 0;
  auto* x = out.x509.get();
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x), ++number);
  X509_gmtime_adj(X509_getm_notBefore(x), -100L * 3600);
  X509_gmtime_adj(X509_getm_notAfter(x), hours * 3600);
  X509_set_pubkey(x, out.key.get());
  const auto title = (names.empty() ? "authority " : "server ") + std::to_string(number);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(title.c_str()), -1, -1, 0);
  const auto& by = issuer != nullptr ? *issuer : out;
  X509_set_issuer_name(x, X509_get_subject_name(by.x509.get()));
  X509V3_CTX context;
  X509V3_set_ctx(&context, by.x509.get(), x, nullptr, nullptr, 0);
  const auto add = [&](int kind, const std::string& value) {
    const std::shared_ptr<X509_EXTENSION> e(
      X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()), X509_EXTENSION_free);
    REQUIRE(e != nullptr);
    X509_add_ext(x, e.get(), -1);
  };
  if (names.empty())
    add(NID_basic_constraints, "critical,CA:TRUE");
  else
    add(NID_subject_alt_name, names);
  REQUIRE(X509_sign(x, by.key.get(), EVP_sha256()) > 0);
  return out;
}

/// The server's end of a connection over TLS, in memory: it takes one request and answers it.
class tls_end {
public:
  /// @param highest The newest version that it speaks; 0: any.
  tls_end(const certificate& c, std::string answer, int highest = 0)
    : context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free), answer_(std::move(answer)) {
    auto* x = context_.get();
    SSL_CTX_set_max_proto_version(x, highest);
    SSL_CTX_set_alpn_select_cb(x, choose, nullptr);
    REQUIRE(SSL_CTX_use_certificate(x, c.x509.get()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(x, c.key.get()) == 1);
    ssl_ = {SSL_new(x), SSL_free};
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), in_, out_);
    SSL_set_accept_state(ssl_.get());
  }

  /// Takes what has come. @returns What is to be sent.
  std::string hear(std::string_view bytes) {
    BIO_write(in_, bytes.data(), int(bytes.size()));
    char piece[4096];
    for (int n = 0; (n = SSL_read(ssl_.get(), piece, sizeof(piece))) > 0;)
      heard.append(piece, size_t(n));
    if (const char* asked = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name))
      name = asked;
    const unsigned char* protocol = nullptr;
    unsigned size_of_protocol = 0;
    SSL_get0_alpn_selected(ssl_.get(), &protocol, &size_of_protocol);
    chosen.assign(reinterpret_cast<const char*>(protocol), size_of_protocol);
    if (!done && heard.ends_with("\r\n\r\n")) {
      done = true;
      for (size_t at = 0; at < answer_.size(); at += sizeof(piece))
        SSL_write(ssl_.get(), answer_.data() + at,
                  int(std::min(sizeof(piece), answer_.size() - at)));
      if (says_goodbye)
        SSL_shutdown(ssl_.get());
    }
    char* all = nullptr;
    const auto size = BIO_get_mem_data(out_, &all);
    std::string out(all, size_t(size));
    (void)BIO_reset(out_);
    return out;
  }

  std::string heard;
  std::string name;   ///< That was asked for.
  std::string chosen; ///< Protocol (ALPN).
  bool done = false;
  bool says_goodbye = true;

private:
  static int choose(SSL*, const unsigned char** out, unsigned char* size,
                    const unsigned char* offered, unsigned offered_size, void*) {
    *size = offered[0];
    *out = offered + 1;
    return offered_size > 0 ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
  }

  std::shared_ptr<SSL_CTX> context_;
  std::shared_ptr<SSL> ssl_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
  std::string answer_;
};

} // namespace gantry::runtime
