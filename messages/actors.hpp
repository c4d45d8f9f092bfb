#pragma once

// Every typed actor interface of gantry, a line of intent per message: who may say what to
// whom. Requests of the bus travel as their protobuf types, with the caller beside them.
// Messages marked INTERNAL come from the actor itself (from io callbacks and timers) or from
// its own parent or child. Everything runs on the loop's one thread.

#include <caf/all.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "messages/error.hpp"
#include "messages/gantry.pb.h"

namespace gantry {

/// How a step outside the actors ended: a process that was made, or the error.
struct outcome {
  std::optional<error> failed;
  int32_t pid = 0;
  uint64_t start_ticks = 0;
};

/// The death of a process as the kernel told it, already recorded as `Died`.
struct ended {
  bool known = false;
  int32_t code = 0;
  int32_t signal = 0;
  bool core = false;
  int64_t at_ns = 0;
  uint64_t seq = 0; ///< Of its Died record.
  uint64_t max_rss_bytes = 0;
};

namespace atom {
using adopt = caf::atom_constant<caf::atom("adopt")>;
using bundle = caf::atom_constant<caf::atom("bundle")>;
using made = caf::atom_constant<caf::atom("made")>;
using started = caf::atom_constant<caf::atom("started")>;
using exec_made = caf::atom_constant<caf::atom("execmade")>;
using exec_ready = caf::atom_constant<caf::atom("execready")>;
using died = caf::atom_constant<caf::atom("died")>;
using drained = caf::atom_constant<caf::atom("drained")>;
using closed = caf::atom_constant<caf::atom("closed")>;
using settled = caf::atom_constant<caf::atom("settled")>;
using unstarted = caf::atom_constant<caf::atom("unstarted")>;
using release = caf::atom_constant<caf::atom("release")>;
using released = caf::atom_constant<caf::atom("released")>;
using deleted = caf::atom_constant<caf::atom("deleted")>;
using updated = caf::atom_constant<caf::atom("updated")>;
using images = caf::atom_constant<caf::atom("images")>;
using frozen = caf::atom_constant<caf::atom("frozen")>;
using grace = caf::atom_constant<caf::atom("grace")>;
using stuck = caf::atom_constant<caf::atom("stuck")>;
using overdue = caf::atom_constant<caf::atom("overdue")>;
using unheld = caf::atom_constant<caf::atom("unheld")>;
using undo = caf::atom_constant<caf::atom("undo")>;
using overtime = caf::atom_constant<caf::atom("overtime")>;
using oom = caf::atom_constant<caf::atom("oom")>;
using restart = caf::atom_constant<caf::atom("restart")>;
using probe = caf::atom_constant<caf::atom("probe")>;
using probed = caf::atom_constant<caf::atom("probed")>;
using after = caf::atom_constant<caf::atom("after")>;
using sweep = caf::atom_constant<caf::atom("sweep")>;
using orphan = caf::atom_constant<caf::atom("orphan")>;
using gone = caf::atom_constant<caf::atom("gone")>;
using fed = caf::atom_constant<caf::atom("fed")>;
using writable = caf::atom_constant<caf::atom("writable")>;
using shutdown = caf::atom_constant<caf::atom("shutdown")>;
} // namespace atom

/// The SUPERVISOR actor interface: finds the container's actor and hands the request on.
using supervisor_actor = caf::typed_actor<
  // Checks a new container, gives it an actor, and lets that one answer.
  caf::replies_to<v1::By, v1::CreateRequest>::with<v1::CreateReply>,
  // All others go to the container's actor, or fail with not_found.
  caf::replies_to<v1::By, v1::StartRequest>::with<v1::StartReply>,
  caf::replies_to<v1::By, v1::KillRequest>::with<v1::KillReply>,
  caf::replies_to<v1::By, v1::StopRequest>::with<v1::StopReply>,
  caf::replies_to<v1::By, v1::PauseRequest>::with<v1::PauseReply>,
  caf::replies_to<v1::By, v1::ResumeRequest>::with<v1::ResumeReply>,
  caf::replies_to<v1::By, v1::UpdateRequest>::with<v1::UpdateReply>,
  caf::replies_to<v1::By, v1::RemoveRequest>::with<v1::RemoveReply>,
  caf::replies_to<v1::By, v1::CheckpointRequest>::with<v1::CheckpointReply>,
  caf::replies_to<v1::By, v1::RemoveCheckpointRequest>::with<v1::RemoveCheckpointReply>,
  caf::replies_to<v1::By, v1::ExecRequest>::with<v1::ExecReply>,
  caf::replies_to<v1::By, v1::RunProbeRequest>::with<v1::RunProbeReply>,
  caf::replies_to<v1::By, v1::WriteStdinRequest>::with<v1::WriteStdinReply>,
  caf::replies_to<v1::By, v1::CloseStdinRequest>::with<v1::CloseStdinReply>,
  caf::replies_to<v1::By, v1::ResizeRequest>::with<v1::ResizeReply>,
  // Takes over every container that the world knows (the start after a crash or a stop).
  caf::reacts_to<atom::adopt>,
  // INTERNAL: a container has been removed, or was never made: forget its actor.
  caf::reacts_to<atom::gone, std::string, std::string>,
  // Ends all container actors; containers stay as they are. Answers when they are at rest.
  caf::replies_to<atom::shutdown>::with<atom::shutdown>>;

/// The CONTAINER actor interface: one bundle with a life.
using container_actor = caf::typed_actor<
  // Makes the container (once), and starts it if the request says so.
  caf::replies_to<v1::By, v1::CreateRequest>::with<v1::CreateReply>,
  // Starts a created container; a stopped one gets a new run.
  caf::replies_to<v1::By, v1::StartRequest>::with<v1::StartReply>,
  // Sends a signal to a process or to all.
  caf::replies_to<v1::By, v1::KillRequest>::with<v1::KillReply>,
  // Signal, grace, SIGKILL; answers with the settled exit.
  caf::replies_to<v1::By, v1::StopRequest>::with<v1::StopReply>,
  // Freezes the cgroup; waits for execs that are being made.
  caf::replies_to<v1::By, v1::PauseRequest>::with<v1::PauseReply>,
  caf::replies_to<v1::By, v1::ResumeRequest>::with<v1::ResumeReply>,
  // Changes limits of a living container.
  caf::replies_to<v1::By, v1::UpdateRequest>::with<v1::UpdateReply>,
  // Removes it with everything that belongs to it.
  caf::replies_to<v1::By, v1::RemoveRequest>::with<v1::RemoveReply>,
  // Writes its processes' state to disk; forgets what was written.
  caf::replies_to<v1::By, v1::CheckpointRequest>::with<v1::CheckpointReply>,
  caf::replies_to<v1::By, v1::RemoveCheckpointRequest>::with<v1::RemoveCheckpointReply>,
  // Runs another process in it.
  caf::replies_to<v1::By, v1::ExecRequest>::with<v1::ExecReply>,
  // Runs one of its probes at once.
  caf::replies_to<v1::By, v1::RunProbeRequest>::with<v1::RunProbeReply>,
  // For a process's stdin: handed to the process's actor.
  caf::replies_to<v1::By, v1::WriteStdinRequest>::with<v1::WriteStdinReply>,
  caf::replies_to<v1::By, v1::CloseStdinRequest>::with<v1::CloseStdinReply>,
  // The size of a process's terminal: recorded, and handed to the process's actor.
  caf::replies_to<v1::By, v1::ResizeRequest>::with<v1::ResizeReply>,
  // Takes over what the world says of this container, and finishes what was half done.
  caf::reacts_to<atom::adopt>,
  // INTERNAL: the bundle and the log directory are ready, or not.
  caf::reacts_to<atom::bundle, outcome>,
  // INTERNAL: the runtime's create (or run) ended.
  caf::reacts_to<atom::made, outcome>,
  // INTERNAL: the runtime's start ended.
  caf::reacts_to<atom::started, outcome>,
  // INTERNAL: an exec's log directory is ready, or not.
  caf::reacts_to<atom::exec_ready, std::string, outcome>,
  // INTERNAL: the runtime's exec ended.
  caf::reacts_to<atom::exec_made, std::string, outcome>,
  // INTERNAL, from a process: its exit is settled and recorded.
  caf::reacts_to<atom::settled, std::string, v1::Exit>,
  // INTERNAL, from a process: init ended before it was ever started.
  caf::reacts_to<atom::unstarted, std::string, ended>,
  // INTERNAL, from a process: it holds nothing any more.
  caf::reacts_to<atom::released, std::string>,
  // INTERNAL: the runtime's delete ended.
  caf::reacts_to<atom::deleted, outcome>,
  // INTERNAL: the runtime's update ended.
  caf::reacts_to<atom::updated, outcome>,
  // INTERNAL: the runtime's checkpoint ended.
  caf::reacts_to<atom::images, outcome>,
  // INTERNAL: look whether the freeze is complete.
  caf::reacts_to<atom::frozen>,
  // INTERNAL: the grace of a stop ran out; the number tells which stop.
  caf::reacts_to<atom::grace, uint64_t>,
  // INTERNAL: SIGKILL should have ended it by now.
  caf::reacts_to<atom::stuck, uint64_t>,
  // INTERNAL: the next step of a removal.
  caf::reacts_to<atom::sweep>,
  // INTERNAL: the time of an exec (by its serial) is over, or its patience with SIGTERM.
  caf::reacts_to<atom::overdue, std::string, uint64_t>,
  // INTERNAL: perhaps nobody holds this exec any more.
  caf::reacts_to<atom::unheld, std::string, uint64_t>,
  // INTERNAL: the runtime may now delete what a failed create left; or a removal that
  // nobody waits for is tried once more.
  caf::reacts_to<atom::undo>,
  // INTERNAL: the time of the restart with this number has come.
  caf::reacts_to<atom::restart, uint64_t>,
  // INTERNAL: what its start waits for may have changed, or the time for that is over.
  caf::reacts_to<atom::after>,
  // INTERNAL: the maximum time of this run is over.
  caf::reacts_to<atom::overtime, uint32_t>,
  // INTERNAL: something of it was killed for want of memory; the seq of the record.
  caf::reacts_to<atom::oom, uint64_t>,
  // INTERNAL: perhaps a probe is due, or its notify socket has something to say.
  caf::reacts_to<atom::probe>,
  // INTERNAL: the probe that this process was has ended; what it wrote.
  caf::reacts_to<atom::probed, std::string, std::string>,
  // INTERNAL: a runtime command of an earlier life has ended; the name says which.
  caf::reacts_to<atom::orphan, std::string>,
  // Come to rest and end; the container stays as it is.
  caf::replies_to<atom::shutdown>::with<atom::shutdown>>;

/// The PROCESS actor interface: init or an exec, from its pipes to its settled exit.
using process_actor = caf::typed_actor<
  // From the container: the runtime made it; watch it. True: it runs already.
  caf::reacts_to<atom::made, int32_t, uint64_t, bool>,
  // From the container: init was started.
  caf::reacts_to<atom::started>,
  // INTERNAL: the process ended; its Died is recorded.
  caf::reacts_to<atom::died, ended>,
  // INTERNAL: what it wrote is in the log. True: somebody else still holds a stream open.
  caf::reacts_to<atom::drained, bool>,
  // INTERNAL: the last writer of its streams has left, after its exit was settled.
  caf::reacts_to<atom::closed>,
  // From the container: let go of everything that is still held; then `released` and the end.
  caf::reacts_to<atom::release>,
  // INTERNAL: the pump is at rest.
  caf::reacts_to<atom::released>,
  // Bytes for stdin; answers how far they were taken, at least one byte or an error.
  caf::replies_to<v1::WriteStdinRequest>::with<v1::WriteStdinReply>,
  // Ends stdin for good.
  caf::replies_to<v1::By, v1::CloseStdinRequest>::with<v1::CloseStdinReply>,
  // From the container: the size of its terminal, recorded already.
  caf::replies_to<v1::ResizeRequest>::with<v1::ResizeReply>,
  // INTERNAL: bytes came through the client's FIFO for stdin.
  caf::reacts_to<atom::fed, std::string>,
  // INTERNAL: the pipe of stdin takes bytes again.
  caf::reacts_to<atom::writable, int32_t>,
  // Come to rest and end; the process and its log slot stay as they are.
  caf::replies_to<atom::shutdown>::with<atom::shutdown>>;

/// The RECORDER actor interface: keeps the remembered past within its bounds.
using recorder_actor = caf::typed_actor<
  // INTERNAL: look what is beyond the bounds.
  caf::reacts_to<atom::sweep>,
  caf::replies_to<atom::shutdown>::with<atom::shutdown>>;

/// The TERMINATOR actor interface: an orderly end.
using terminator_actor = caf::typed_actor<
  // Stops all containers (true) or leaves them running, brings every actor to rest, answers.
  caf::replies_to<atom::shutdown, bool>::with<atom::shutdown>,
  // INTERNAL: the stops took too long: go on.
  caf::reacts_to<atom::grace>>;

/// Our error as CAF's, and back.
caf::error to_caf(const error& x);
error from_caf(const caf::error& x);

} // namespace gantry

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::outcome)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::ended)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::By)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::Exit)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::CreateRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::CreateReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::StartRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::StartReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::KillRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::KillReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::StopRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::StopReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::PauseRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::PauseReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::ResumeRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::ResumeReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::UpdateRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::UpdateReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::RemoveRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::RemoveReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::CheckpointRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::CheckpointReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::RemoveCheckpointRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::RemoveCheckpointReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::ExecRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::ExecReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::RunProbeRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::RunProbeReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::WriteStdinRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::WriteStdinReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::CloseStdinRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::CloseStdinReply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::ResizeRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(gantry::v1::ResizeReply)
