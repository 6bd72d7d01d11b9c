// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/interface/interfaces.hh"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>

#include "daemon/process/log.hh"
#include "wire/start_keeper.hh"

namespace unetmap::daemon {
namespace {

// A keeper loads programs, changes offloads and waits for the driver.
constexpr int64_t kPatience_ms = 30'000;

std::string own_folder() {
  char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  std::string text(path, n > 0 ? size_t(n) : 0);
  return text.substr(0, text.rfind('/'));
}

}  // namespace

Result<Namespace> Namespace::of(int fd) {
  struct stat info;
  struct statfs system;
  if (fstat(fd, &info) < 0 || fstatfs(fd, &system) < 0) return Error::from_errno(errno, "network namespace");
  if (system.f_type != NSFS_MAGIC) return Error{EINVAL, "network namespace: the descriptor is of something else"};
  return Namespace{info.st_dev, info.st_ino};
}

Result<Namespace> Namespace::own() {
  UniqueFd fd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!fd) return Error::from_errno(errno, "/proc/self/ns/net");
  return of(fd.get());
}

Interfaces::~Interfaces() {
  for (auto& [key, held] : held_) hang_up(*held);
  for (auto& [fd, channel] : restoring_) loop_.unwatch(fd);
}

Result<UniqueFd> Interfaces::start() { return wire::start_keeper(own_folder()); }

Result<void> Interfaces::ask(const std::string& key, UniqueFd channel, const wire::KeeperRequest& request,
                             const std::vector<int>& fds) {
  if (find(key)) return Error{EBUSY, key + ": has a keeper already"};
  if (auto sent = wire::send_keeper(channel.get(), request, fds, MSG_DONTWAIT); !sent) return sent.error();
  int fd = channel.get();
  if (auto watched = loop_.watch(fd, [this, key] { take_message(key); }); !watched) return watched.error();
  auto held = std::make_unique<Held>();
  held->channel = std::move(channel);
  held->timer = loop_.after(kPatience_ms, [this, key] {
    fail(key, {ETIMEDOUT, key + ": its keeper gave no answer in 30 s; look at its driver, and try again"});
  });
  held_[key] = std::move(held);
  return {};
}

Interfaces::Held* Interfaces::find(const std::string& key) {
  auto found = held_.find(key);
  return found == held_.end() ? nullptr : found->second.get();
}

void Interfaces::hang_up(Held& held) {
  if (held.timer) loop_.cancel(held.timer);
  held.timer = 0;
  if (held.channel) loop_.unwatch(held.channel.get());
  held.channel.reset();
}

void Interfaces::forget(const std::string& key) {
  auto found = held_.find(key);
  std::unique_ptr<Held> held = std::move(found->second);
  held_.erase(found);
  hang_up(*held);
  if (held->closed) held->closed();
  if (on_settled) on_settled();
}

// Half closed: that is the keeper's sign to end, and its end is ours to go on.
void Interfaces::release(const std::string& key, std::function<void()> closed) {
  Held* held = find(key);
  if (!held) return;
  held->closed = std::move(closed);
  held->changed = nullptr;
  held->fds.clear();
  if (!held->channel || shutdown(held->channel.get(), SHUT_WR) < 0) return forget(key);
  held->state = Held::State::kClosing;
  if (held->timer) loop_.cancel(held->timer);
  held->timer = loop_.after(kPatience_ms, [this, key] {
    log(key + ": its keeper does not end; it is left to itself");
    forget(key);
  });
}

void Interfaces::fail(const std::string& key, Error error) {
  Held* held = find(key);
  if (!held) return;
  hang_up(*held);
  bool was_starting = held->state == Held::State::kStarting;
  held->error = std::move(error);
  if (was_starting) {
    held->state = Held::State::kFailed;
    if (on_settled) on_settled();
  } else {
    log(held->error.text);
    if (held->changed) held->changed();
  }
}

void Interfaces::take_message(const std::string& key) {
  Held* held = find(key);
  auto message = wire::receive_keeper_message(held->channel.get(), MSG_DONTWAIT);
  if (!message) {
    if (message.error().code == EAGAIN) return;
    if (held->state == Held::State::kClosing) return forget(key);
    if (held->state == Held::State::kReady) restore(*held);
    if (message.error().code == ECONNRESET)
      return fail(
          key,
          {ENXIO, key + ": its keeper has ended; close it and open it again" +
                      std::string(held->state == Held::State::kStarting ? ", with the privileges that takes" : "")});
    return fail(key, {EPROTO, key + ": its keeper: " + message.error().text});
  }
  if (auto* event = std::get_if<wire::KeeperEvent>(&message->message)) return take_event(*held, *event);
  auto& reply = std::get<wire::KeeperReply>(message->message);
  if (held->state != Held::State::kStarting) return;
  if (reply.error) return fail(key, {reply.error, reply.text});
  loop_.cancel(held->timer);
  held->timer = 0;
  for (const std::string& sentence : reply.said) log(sentence);
  held->reply = std::move(reply);
  held->fds = std::move(message->fds);
  held->down = !held->reply.up;
  held->state = Held::State::kReady;
  if (on_settled) on_settled();
}

// vfio-pci lets nobody have a device, nor go, before all descriptors of it are closed.
void Interfaces::let_go_of_device(Held& held) {
  if (!held.reply.taken) return;
  for (size_t i = 0; i < held.reply.queues.size() && i < held.fds.size(); i++) held.fds[i].reset();
}

// A keeper was killed. All that it did has gone with it, but for the offloads that it switched off, and a device that
// it took: whose memory our descriptors keep where it is until it is stopped.
void Interfaces::restore(Held& held) {
  const wire::KeeperReply& reply = held.reply;
  if (reply.undo.empty() && !reply.taken) return;
  auto channel = start();
  std::vector<int> fds;
  if (reply.taken && held.fds.size() >= reply.queues.size() + 1 + wire::kDriverFds)
    fds.push_back(held.fds[reply.queues.size() + 1].get());  // its memory
  let_go_of_device(held);
  auto kept = std::make_shared<std::vector<UniqueFd>>();
  for (const UniqueFd& fd : held.fds)
    if (reply.taken && fd) kept->emplace_back(fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  auto told = [this, name = reply.interface, device = reply.taken.has_value(), kept](int fd) {
    auto answer = wire::receive_keeper_message(fd, MSG_DONTWAIT);
    auto* result = answer ? std::get_if<wire::KeeperReply>(&answer->message) : nullptr;
    if (result && result->error)
      log(device ? result->text : result->text + "; offloads that were on may be off still: see ethtool -k " + name);
    loop_.unwatch(fd);
    restoring_.erase(fd);
  };
  auto sent = channel ? wire::send_keeper(channel->get(),
                                          wire::KeeperRequest(wire::RestoreRequest{reply.interface, reply.ifindex,
                                                                                   reply.mac, reply.undo, reply.taken}),
                                          fds, MSG_DONTWAIT)
                      : Result<void>(channel.error());
  if (!sent)
    return log(reply.interface +
               (reply.taken ? ": stays without its kernel driver: " : ": offloads stay switched off: ") +
               sent.error().text);
  int fd = channel->get();
  if (loop_.watch(fd, [told, fd] { told(fd); })) restoring_[fd] = std::move(*channel);
}

void Interfaces::take_event(Held& held, const wire::KeeperEvent& event) {
  using Kind = wire::KeeperEvent::Kind;
  log(event.text);
  // Of a persistent port, see Origin::keeper_key(): a tap that its keeper made.
  const bool ours = std::any_of(held_.begin(), held_.end(), [&](const auto& entry) {
    return entry.second.get() == &held && entry.first.starts_with("tap ");
  });
  if (event.kind == Kind::kDown || event.kind == Kind::kUp)
    held.down = event.kind == Kind::kDown;
  else if (event.kind == Kind::kRenamed && ours)
    held.reply.interface = event.interface;  // its frames come by our descriptor, whatever its name is
  else if (held.error.code == 0)
    held.error = {ENXIO, event.text};
  if (event.kind == Kind::kGone) let_go_of_device(held);
  if (held.changed) held.changed();
}

}  // namespace unetmap::daemon
