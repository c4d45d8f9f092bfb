#pragma once

#include <memory>

#include "messages/result.hpp"
#include "runtime/probe_talk.hpp"

namespace gantry::runtime {

/// Reads OpenSSL's configuration and what else it loads once in a process, so that no probe does.
/// Blocks: before a loop serves. Again it does nothing.
void prepare_tls();

/// Whether TLS can be spoken at all.
result<void> check_tls();

/// What `inner` says and hears, within TLS 1.2 or newer, as a client, over memory alone. Whatever
/// certificate the server shows is good. The name that is asked for is the question's host, where
/// that is a name.
/// @param q Of kind https, checked.
result<std::unique_ptr<probe_talk>> tls_talk_of(const probe_question& q,
                                                std::unique_ptr<probe_talk> inner);

} // namespace gantry::runtime
