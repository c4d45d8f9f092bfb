#pragma once

#include <memory>

#include "messages/result.hpp"
#include "runtime/probe_talk.hpp"

namespace gantry::runtime {

/// Reads OpenSSL's configuration and what else it loads once in a process, so that no probe does.
/// Blocks: before a loop serves. Again it does nothing.
void prepare_tls();

/// Whether a question over TLS can be asked at all: that TLS is there, and that the certificates to
/// verify by are some.
/// @param q Of kind https or grpcs.
result<void> check_tls(const probe_question& q);

/// What `inner` says and hears, within TLS 1.2 or newer, as a client, over memory alone. The
/// server's certificate is verified where the question has certificates to do so by; else any is
/// good. The name that is asked for is the question's host, where that is a name.
/// @param q Of kind https or grpcs, checked.
result<std::unique_ptr<probe_talk>> tls_talk_of(const probe_question& q,
                                                std::unique_ptr<probe_talk> inner);

} // namespace gantry::runtime
