#include "actors/evidence.hpp"
#include "actors/gate.hpp"
#include "io/file_ops.hpp"

namespace gantry::actors {

void gate::call(const v1::By&, v1::ReadEvidenceRequest req, answer<v1::Evidence> f) {
  auto found = look_up(req.ref());
  if (!found)
    return later<v1::Evidence>(std::move(f), found.why());
  const auto& c = **found;
  v1::EvidenceKept kept;
  for (auto& one : known_evidence(c, host_.loop.sys().realtime().count()))
    if (req.number() == 0 || one.number() == req.number())
      kept = std::move(one); // The newest that fits.
  if (kept.number() == 0)
    return later<v1::Evidence>(
      std::move(f),
      error{ec::not_found,
            "container \"" + c.name.id + "\" has no "
              + (req.number() == 0 ? std::string{"evidence"}
                                   : "evidence " + std::to_string(req.number())),
            "it is taken before an automatic restart, kill or stop, and goes with the log or after "
            "a week; gantry health "
              + c.name.id + " lists it"});
  const auto path = evidence_file(host_.log_dir(c.init()->serial), kept.number());
  io::read_file(host_.loop, path, most_evidence_bytes, path,
                [kept, path, f = std::move(f)](result<std::string> text) {
                  v1::Evidence out;
                  if (!text)
                    return f(text.why());
                  if (!out.ParseFromString(*text))
                    return f(error{ec::data_loss, path + " is damaged", {}});
                  *out.mutable_kept() = kept;
                  f(std::move(out));
                });
}

} // namespace gantry::actors
