// SPDX-License-Identifier: BSD-2-Clause
#include "worker/sessions.hh"

#include <sys/epoll.h>

#include "worker/sandbox.hh"

namespace unetmap::worker {

using Event = wire::WorkerReport::Event;
using Op = wire::WorkerOrder::Op;

void Sessions::Session::state(bool connected, const std::string& text) {
  tell({.event = Event::kState, .connected = connected, .text = text});
}
void Sessions::Session::say(const std::string& text) { tell({.event = Event::kSaid, .text = text}); }
void Sessions::Session::awake() { tell({.event = Event::kAwake}); }

Result<void> Sessions::add(UniqueFd channel) {
  auto session = std::make_unique<Session>();
  session->channel = std::move(channel);
  Session* s = session.get();
  auto watched = loop_.watch(s->channel.get(), EPOLLIN, [this, s](uint32_t) { hear(*s); });
  if (!watched) return watched;
  sessions_.push_back(std::move(session));
  return {};
}

void Sessions::fail(const Error& why) const {
  for (auto& session : sessions_) session->tell({.event = Event::kFailed, .error = why});
}

void Sessions::hear(Session& session) {
  auto order = wire::receive_order(session.channel.get());
  if (order) return obey(session, std::move(*order));
  if (order.error().code != EAGAIN) end(session);
}

void Sessions::obey(Session& session, wire::WorkerOrder&& order) {
  switch (order.op) {
    case Op::kStart:
      if (session.kind) return;
      if (auto started = start(session, std::move(order)); !started) {
        session.tell({.event = Event::kFailed, .error = started.error()});
        failed_ = true;
        return end(session);
      }
      return session.tell({.event = Event::kReady});
    case Op::kStatus:
      if (session.kind) session.tell({.event = Event::kStatus, .id = order.id, .status = session.kind->status()});
      return;
    case Op::kSet:
      if (!session.kind) return;
      if (auto set = session.kind->set(order.parameters); !set) session.say(set.error().text);
      return;
    case Op::kAdopt:
      if (order.fds.size() == 1)
        if (auto added = add(std::move(order.fds[0])); !added) session.say(added.error().text);
      return;
    case Op::kStop:
      if (session.kind) session.kind->stop();
      return end(session);
  }
}

Result<void> Sessions::start(Session& session, wire::WorkerOrder&& order) {
  const KindEntry* entry = find_kind(order.kind);
  if (!entry) return Error{EOPNOTSUPP, order.port + ": plug: kind " + order.kind + " is unknown to this version"};
  if (entry_ && (entry_ != entry || !entry->in_company))
    return Error{EBUSY, order.port + ": plug: this worker serves ports of another kind"};
  entry_ = entry;
  auto kind = entry->start({order.port, std::move(order.parameters), std::move(order.fds), loop_, session});
  if (!kind) return kind.error();
  session.kind = std::move(*kind);
  if (!entry->foreign_bytes || filtered_) return {};
  filtered_ = true;
  return filter_system_calls();
}

// Not from within its own callbacks, nor while turns are taken: the memory goes with the next round.
void Sessions::end(Session& session) {
  if (session.over) return;
  session.over = true;
  loop_.unwatch(session.channel.get());
  loop_.after(0, [this] {
    std::erase_if(sessions_, [](auto& each) { return each->over; });
    if (sessions_.empty()) loop_.end();
  });
}

bool Sessions::turn() {
  bool moved = false;
  for (auto& session : sessions_)
    if (session->kind && !session->over) moved = session->kind->turn() || moved;
  return moved;
}

bool Sessions::before_sleep() {
  bool idle = true;
  for (auto& session : sessions_)
    if (session->kind && !session->over) idle = session->kind->before_sleep() && idle;
  return idle;
}

void Sessions::after_sleep() {
  for (auto& session : sessions_)
    if (session->kind && !session->over) session->kind->after_sleep();
}

}  // namespace unetmap::worker
