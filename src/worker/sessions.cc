// SPDX-License-Identifier: BSD-2-Clause
#include "worker/sessions.hh"

#include <sys/epoll.h>

#include <algorithm>

#include "worker/sandbox.hh"

namespace unetmap::worker {

using Event = wire::WorkerReport::Event;
using Op = wire::WorkerOrder::Op;
using wire::WorkerReport;

namespace {

// To be named before it is told: GCC 12 warns of the members of temporary ones.
WorkerReport about(Event event) {
  WorkerReport report;
  report.event = event;
  return report;
}

}  // namespace

void Sessions::Session::state(bool connected, const std::string& text) {
  WorkerReport report = about(Event::kState);
  report.connected = connected;
  report.text = text;
  tell(report);
}
void Sessions::Session::say(const std::string& text) {
  WorkerReport report = about(Event::kSaid);
  report.text = text;
  tell(report);
}
void Sessions::Session::awake() { tell(about(Event::kAwake)); }
void Sessions::Session::ready() const { tell(about(Event::kReady)); }
void Sessions::Session::failed(const Error& why) const {
  WorkerReport report = about(Event::kFailed);
  report.error = why;
  tell(report);
}

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
  for (auto& session : sessions_) session->failed(why);
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
        session.failed(started.error());
        failed_ = true;
        return end(session);
      }
      return session.ready();
    case Op::kStatus:
      if (session.kind) {
        WorkerReport report = about(Event::kStatus);
        report.id = order.id;
        report.status = session.kind->status();
        session.tell(report);
      }
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
  if (entry_ && !(entry_->in_company && entry->in_company))
    return Error{EBUSY, order.port + ": plug: this worker serves ports of other kinds"};
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

uint64_t Sessions::wake_ns() {
  uint64_t first = UINT64_MAX;
  for (auto& session : sessions_)
    if (session->kind && !session->over) first = std::min(first, session->kind->wake_ns());
  return first;
}

}  // namespace unetmap::worker
