#include <charconv>

#include "actors/attach.hpp"
#include "actors/stdio.hpp"
#include "io/pump.hpp"
#include "runtime/bundle.hpp"

// Attach: its beginning, and what the client sends.

namespace gantry::actors {

namespace {

/// Input that may wait for the process; then the client is not read on.
constexpr size_t input_limit = 256u << 10;

error no_such_process(const runtime::container_name& name, const std::string& process) {
  return {ec::not_found, "container \"" + name.id + "\" has no process \"" + process + "\"",
          "gantry inspect " + name.id + " lists them"};
}

/// What the gateway owns: the client lives as long as this or what it has under way.
class owned_attachment final : public attachment {
public:
  explicit owned_attachment(std::shared_ptr<attached> a) : attached_(std::move(a)) {}
  ~owned_attachment() override { attached_->on_room(nullptr); }
  void next(size_t max_bytes, answer<std::vector<v1::AttachReply>> f) override {
    attached_->next(max_bytes, std::move(f));
  }
  result<bool> take(v1::AttachRequest req) override { return attached_->take(std::move(req)); }
  void end_of_requests() override { attached_->end_of_requests(); }
  void on_room(std::function<void()> f) override { attached_->on_room(std::move(f)); }

private:
  std::shared_ptr<attached> attached_;
};

result<attach_place> beginning(const v1::AttachOpen& open, uint64_t serial) {
  if (open.cursor().empty())
    return attach_place{.serial = open.replay() ? serial : 0, .log = {}, .skip = {}};
  auto at = parse_attach_cursor(open.cursor());
  if (at && at->serial != serial)
    return error{ec::not_found, "the output that this cursor belongs to is that of an earlier run",
                 "attach anew, without a cursor"};
  return at;
}

} // namespace

std::string cursor_text(const attach_place& at) {
  std::string out = std::to_string(at.serial);
  for (const uint64_t n : {at.log.file_seq, at.log.offset, at.skip[0], at.skip[1]})
    out.append(":").append(std::to_string(n));
  return out;
}

result<attach_place> parse_attach_cursor(const std::string& text) {
  std::array<uint64_t, 5> n{};
  const char* at = text.data();
  const char* end = at + text.size();
  bool fine = true;
  for (size_t i = 0; i < n.size() && fine; ++i) {
    fine = i == 0 || (at != end && *at++ == ':');
    const auto parsed = std::from_chars(at, end, n[i]);
    fine = fine && parsed.ec == std::errc{};
    at = parsed.ptr;
  }
  if (!fine || at != end || n[0] == 0)
    return error{ec::invalid_argument, "attach cursor \"" + text + "\" is not one of ours",
                 "use the cursor of a reply, or none"};
  return attach_place{.serial = n[0], .log = {n[1], n[2]}, .skip = {n[3], n[4]}};
}

result<std::unique_ptr<attachment>> attach_to(services& host, front& way, const v1::By& by,
                                              const v1::AttachOpen& open) {
  auto name = runtime::checked_name(open.ref());
  if (!name)
    return std::move(name).why();
  const auto process =
    open.process().empty() ? std::string{runtime::init_id} : open.process();
  const auto* c = host.ledger.now().find(*name);
  if (c == nullptr || (open.instance() != 0 && open.instance() != c->instance))
    return error{ec::not_found, "no such container \"" + name->id + "\"",
                 "gantry ps -a lists them"};
  const auto* p = c->process(process);
  if (p == nullptr)
    return no_such_process(*name, process);
  auto from = beginning(open, p->serial);
  if (!from)
    return std::move(from).why();
  if (open.patience_ns() < 0)
    return error{ec::invalid_argument, "patience_ns: " + std::to_string(open.patience_ns()),
                 "use 0 (the default) or more"};
  v1::AttachOpened opened;
  opened.set_instance(c->instance);
  opened.set_run(c->run);
  opened.set_terminal(p->terminal);
  opened.set_stdin_open(p->with_stdin && !p->stdin_closed
                        && p->phase != runtime::process_view::phase_t::exited);
  const auto format = format_of(log_options_of(*c, *p));
  attach_target who{*name, c->instance, process, p->serial, c->run, p->terminal, format};
  auto made = std::make_shared<attached>(host, way, by, open, std::move(who));
  made->begin(*from, std::move(opened));
  return std::unique_ptr<attachment>{std::make_unique<owned_attachment>(std::move(made))};
}

/// The first reply. Where the input stands is known when the pump is there: after a crash it is
/// found again a little later than the container.
/// @returns false as long as it waits for that.
bool attached::greet() {
  if (!opened_)
    return true;
  auto* pump = host_.outputs.pump_of(who_.serial);
  if (pump == nullptr && open_.input() && opened_->stdin_open() && !over())
    return false;
  if (const auto* taken = pump != nullptr ? pump->stdin_taken() : nullptr)
    opened_->set_stdin_offset(taken->load(std::memory_order_relaxed));
  v1::AttachReply first;
  *first.mutable_opened() = *std::exchange(opened_, std::nullopt);
  push(std::move(first), 0);
  return true;
}

result<bool> attached::take(v1::AttachRequest req) {
  if (!open_.input())
    return error{ec::permission_denied,
                 "container \"" + who_.container.id + "\": this client only reads",
                 "open with `input` to write or to resize"};
  if (req.has_size()) {
    if (!who_.terminal)
      return error{ec::wrong_state,
                   "process \"" + who_.process + "\" of \"" + who_.container.id
                     + "\" has no terminal",
                   "ask for one when it is made (-t, terminal)"};
    if (auto fits = runtime::check_terminal_size(req.size()); !fits)
      return std::move(fits).why();
    v1::ResizeRequest r;
    *r.mutable_ref() = open_.ref();
    r.set_process(who_.process);
    *r.mutable_size() = req.size();
    way_.call(by_, std::move(r), [](const result<v1::ResizeReply>&) {}); // Too late is no fault.
    return true;
  }
  if (!req.has_input())
    return error{ec::invalid_argument, "a request behind the first is neither input nor a size",
                 {}};
  if (input_over_ || req.input().data().empty())
    return true;
  input_bytes_ += req.input().data().size();
  inputs_.push_back(std::move(*req.mutable_input()));
  write_next();
  return input_bytes_ < input_limit;
}

void attached::write_next() {
  if (writing_ || input_over_)
    return;
  if (inputs_.empty()) {
    if (requests_over_)
      close_input();
    return;
  }
  auto& front = inputs_.front();
  v1::WriteStdinRequest r;
  *r.mutable_ref() = open_.ref();
  r.set_process(who_.process);
  r.set_append(!front.has_offset());
  r.set_offset(front.offset());
  r.set_data(front.data());
  writing_ = true;
  way_.call(by_, std::move(r), [weak = weak_from_this()](result<v1::WriteStdinReply> x) {
    if (auto me = weak.lock())
      me->wrote(std::move(x));
  });
}

void attached::wrote(result<v1::WriteStdinReply> x) {
  writing_ = false;
  if (!x)
    return end_input(x.why());
  auto& front = inputs_.front();
  uint64_t used = x->taken();
  if (front.has_offset() && x->offset() > front.offset())
    used = x->offset() - front.offset();
  used = std::min<uint64_t>(used, front.data().size());
  input_bytes_ -= used;
  if (used == front.data().size()) {
    inputs_.pop_front();
  } else {
    front.mutable_data()->erase(0, used);
    if (front.has_offset())
      front.set_offset(front.offset() + used);
  }
  v1::AttachReply taken;
  taken.set_stdin_offset(x->offset());
  push(std::move(taken), 0);
  if (room_ && input_bytes_ < input_limit)
    room_();
  write_next();
}

void attached::end_input(const error& why) {
  input_over_ = true;
  inputs_.clear();
  input_bytes_ = 0;
  v1::AttachReply end;
  end.mutable_input_end()->set_code(std::string{name_of(why.code)});
  end.mutable_input_end()->set_message(why.text());
  push(std::move(end), 0);
  if (room_)
    room_();
}

void attached::end_of_requests() {
  requests_over_ = true;
  write_next();
}

void attached::close_input() {
  input_over_ = true;
  if (!open_.input() || !open_.close_stdin() || who_.terminal)
    return; // A terminal's input has no end.
  v1::CloseStdinRequest r;
  *r.mutable_ref() = open_.ref();
  r.set_process(who_.process);
  way_.call(by_, std::move(r), [weak = weak_from_this()](const result<v1::CloseStdinReply>& x) {
    auto me = weak.lock();
    if (me && !x && x.why().code != ec::wrong_state) // Closed or ended already is as good.
      me->end_input(x.why());
  });
}

} // namespace gantry::actors
