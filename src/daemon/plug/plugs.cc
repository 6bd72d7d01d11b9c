// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/plug/plugs.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "daemon/process/log.hh"

namespace unetmap::daemon {
namespace {

constexpr int64_t kFirstPause_ms = 100, kLongestPause_ms = 5000;
constexpr int64_t kWellAfter_ms = 10000;   // a worker that lived so long did not fail in a row
constexpr int64_t kAnswerWithin_ms = 500;  // workers that take longer are shown without their counters
constexpr off_t kMaxFile = 16 << 20;       // bytes

std::string read_file(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info;
  // Written by nobody but this user's daemons.
  if (!fd || fstat(fd.get(), &info) < 0 || !S_ISREG(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 022) ||
      info.st_size > kMaxFile)
    return "";
  std::string text(size_t(info.st_size), 0);
  ssize_t n = read(fd.get(), text.data(), text.size());
  text.resize(n > 0 ? size_t(n) : 0);
  return text;
}

Result<void> write_file(const std::string& path, const std::string& text) {
  std::string temporary = path + ".new";
  UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return Error::from_errno(errno, temporary);
  if (write(fd.get(), text.data(), text.size()) != ssize_t(text.size()) || fsync(fd.get()) < 0 ||
      rename(temporary.c_str(), path.c_str()) < 0)
    return Error::from_errno(errno, path);
  return {};
}

}  // namespace

// Somebody asked for the counters of all workers.
struct Plugs::Question {
  Reply reply;
  std::string only;                    // one port
  std::map<std::string, Json> status;  // by port, as far as they came
  size_t open = 0;
  uint64_t timer = 0, id = 0;
};

Plugs::~Plugs() = default;

void Plugs::plug(const std::string& json, Reply reply) {
  auto what = wire::parse_plug(json);
  if (!what) return reply.send(what.error());
  if (auto made = registry_.plug_ports().reserve(*what); !made) return reply.send(made.error());
  if (auto set = apply_settings(*what); !set) {
    registry_.plug_ports().release(what->port);
    return reply.send(set.error());
  }
  auto& plugged = plugged_[what->port];
  plugged = std::make_unique<Plugged>();
  plugged->what = std::move(*what);
  plugged->shown = plugged->what.kind;
  plugged->waiting.push_back(std::move(reply));
  if (auto begun = begin(*plugged); !begun) remove(*plugged, begun.error());
}

// What Op::kSet made of the port, under "set" of the plug's parameters.
Result<void> Plugs::apply_settings(const wire::Plug& what) {
  auto settings = what.parameters.find("set");
  if (settings == what.parameters.end()) return {};
  if (!settings->is_object()) return Error{EINVAL, what.port + ": plug: \"set\" is no object"};
  if (settings->empty()) return {};
  Json wanted = *settings;
  wanted["port"] = what.port;
  return registry_.set(json_text(wanted));
}

void Plugs::note_settings(const std::string& json) {
  Json wanted = parse_json(json);
  auto found = plugged_.find(wanted.value("port", ""));
  if (found == plugged_.end() || found->second->attached) return;
  Json& kept = found->second->what.parameters["set"];
  if (!kept.is_object()) kept = Json::object();
  for (auto& [key, value] : wanted.items())
    if (key != "port" && key != "keep") kept[key] = value;
  save();
}

Result<void> Plugs::begin(Plugged& plugged) {
  Plugged* p = &plugged;
  p->ready = false;
  wire::WorkerOrder order{.op = wire::WorkerOrder::Op::kStart,
                          .kind = p->what.kind,
                          .port = p->what.port,
                          .parameters = p->what.parameters};
  // The place may still hold what a predecessor left there.
  if (p->resumes) order.parameters["resume"] = true;
  std::vector<int> fds;
  for (const UniqueFd& fd : p->fds) fds.push_back(fd.get());
  auto worker = Worker::start(loop_, socket_path_, order, fds,
                              {.report = [this, p](wire::WorkerReport&& report) { heard(*p, std::move(report)); },
                               .ended = [this, p](std::string why) { worker_ended(*p, std::move(why)); }},
                              company_for(*p));
  if (!worker) return worker.error();
  p->worker = std::move(*worker);
  show(*p, "starting", false);
  return {};
}

// Virtual machines of one switch are served by one process unless somebody wants otherwise: what they send each other
// is then copied once, from guest to guest.
Worker* Plugs::company_for(const Plugged& plugged) {
  auto sociable = [](const wire::Plug& what) {
    return (what.kind == "vhost-user" || what.kind == "e1000" || what.kind == "passthrough") &&
           !what.parameters.contains("separate");
  };
  auto switch_of = [](const wire::Plug& what) { return what.port.substr(0, what.port.find(':')); };
  if (!sociable(plugged.what)) return nullptr;
  for (auto& [port, other] : plugged_)
    if (other.get() != &plugged && other->worker && !other->leaving && sociable(other->what) &&
        switch_of(other->what) == switch_of(plugged.what))
      return other->worker.get();
  return nullptr;
}

void Plugs::show(const Plugged& plugged, const std::string& state, bool connected) {
  registry_.plug_ports().show(plugged.what.port,
                              {plugged.shown, state, connected, plugged.worker ? plugged.worker->pid() : -1});
}

void Plugs::heard(Plugged& plugged, wire::WorkerReport&& report) {
  using Event = wire::WorkerReport::Event;
  switch (report.event) {
    case Event::kReady: {
      if (plugged.ready) return;
      plugged.ready = true;
      plugged.failure.clear();
      settle(plugged, {0, ""});
      if (registry_.plug_ports().json(plugged.what.port)["state"] == "starting") show(plugged, "ready", false);
      if (plugged.timer) loop_.cancel(plugged.timer);
      plugged.timer = loop_.after(kWellAfter_ms, [p = &plugged] { p->failures = 0, p->timer = 0; });
      if (!plugged.leaving) {
        auto waiting = std::move(plugged.waiting);
        plugged.waiting.clear();
        save();
        for (Reply& reply : waiting) reply.send({});
      }
      return;
    }
    case Event::kFailed:
      plugged.failure = report.error.text;
      plugged.worker->stop();
      settle(plugged, report.error);
      // Who waits is told when the port is gone, too.
      if (!plugged.leaving && !plugged.waiting.empty()) {
        plugged.leaving = true;
        plugged.farewell = report.error;
      }
      return;
    case Event::kState:
      show(plugged, report.text, report.connected);
      return;
    case Event::kStatus: {
      auto found = questions_.find(report.id);
      if (found == questions_.end() || found->second->status.count(plugged.what.port)) return;
      auto question = found->second;
      question->status[plugged.what.port] = std::move(report.status);
      if (--question->open == 0) answer_question(question);
      return;
    }
    case Event::kSaid:
      log(plugged.what.port + ": " + report.text);
      return;
    case Event::kAwake:
      on_awake();
      return;
  }
}

void Plugs::worker_ended(Plugged& plugged, std::string why) {
  plugged.worker.reset();
  if (plugged.leaving) {
    // Its own connections hang up now as well, and are seen before this time comes.
    loop_.after(1, [this, p = &plugged] { remove(*p, p->farewell); });
    return;
  }
  if (!plugged.failure.empty()) why = plugged.failure;
  if (plugged.attached && !plugged.resumes && plugged.outcome.code != 0)
    return settle(plugged,
                  {EIO, plugged.what.port + ": its worker " + why + " before it served; see the daemon's messages"});
  plugged.resumes = true;
  if (!plugged.waiting.empty())
    return remove(plugged, Error{EIO, plugged.what.port + ": its worker " + why +
                                          " before it served; see the daemon's messages"});
  log(plugged.what.port + ": its worker " + why + "; another one is started");
  show(plugged, why, false);
  pause(plugged);
}

void Plugs::pause(Plugged& plugged) {
  if (plugged.timer) loop_.cancel(plugged.timer);
  int64_t pause_ms = std::min(kLongestPause_ms, kFirstPause_ms << std::min(plugged.failures++, 6));
  plugged.timer = loop_.after(pause_ms, [this, p = &plugged] {
    p->timer = 0;
    p->restarts++;
    if (auto begun = begin(*p); !begun) {
      log(begun.error().text);
      pause(*p);
    }
  });
}

Result<void> Plugs::serve(wire::Plug plug, std::string shown, std::vector<UniqueFd> fds) {
  const std::string port = plug.port;
  auto& plugged = plugged_[port];
  if (plugged) return Error{EBUSY, port + ": is served already"};
  plugged = std::make_unique<Plugged>();
  plugged->what = std::move(plug);
  plugged->shown = std::move(shown);
  plugged->attached = true;
  plugged->fds = std::move(fds);
  auto begun = begin(*plugged);
  if (!begun) plugged_.erase(port);
  return begun;
}

// Only the first outcome counts: later failures are put right here.
void Plugs::settle(Plugged& plugged, Error outcome) {
  if (!plugged.attached || plugged.outcome.code != EINPROGRESS) return;
  plugged.outcome = std::move(outcome);
  if (on_settled) on_settled();
}

Result<void> Plugs::served(const std::string& port) const {
  auto found = plugged_.find(port);
  if (found == plugged_.end()) return Error{ENXIO, port + ": is not served"};
  if (found->second->outcome.code == 0) return {};
  return found->second->outcome;
}

void Plugs::tell(const std::string& port, const Json& parameters) {
  auto found = plugged_.find(port);
  if (found == plugged_.end()) return;
  found->second->what.parameters.update(parameters);
  if (found->second->worker)
    (void)found->second->worker->send({.op = wire::WorkerOrder::Op::kSet, .parameters = parameters}).has_value();
}

void Plugs::end(const std::string& port, std::function<void()> ended) {
  auto found = plugged_.find(port);
  if (found == plugged_.end()) return void(loop_.after(0, std::move(ended)));
  Plugged& plugged = *found->second;
  plugged.leaving = true;
  plugged.ended = std::move(ended);
  if (plugged.worker)
    plugged.worker->stop();
  else
    loop_.after(0, [this, p = &plugged] { remove(*p, {}); });
}

// The port goes; who waited is told.
void Plugs::remove(Plugged& plugged, const Result<void>& answer) {
  if (plugged.timer) loop_.cancel(plugged.timer);
  auto found = plugged_.find(plugged.what.port);
  std::unique_ptr<Plugged> hold = std::move(found->second);
  plugged_.erase(found);
  hold->worker.reset();
  if (hold->attached) {
    if (hold->ended) hold->ended();
    if (on_settled) on_settled();
    return;
  }
  registry_.plug_ports().release(hold->what.port);
  save();
  for (Reply& reply : hold->waiting) reply.send(answer);
}

void Plugs::unplug(const std::string& json, Reply reply) {
  Json wanted = parse_json(json);
  std::string port = wanted.is_object() && wanted.contains("port") && wanted["port"].is_string()
                         ? wanted["port"].get<std::string>()
                         : "";
  auto found = plugged_.find(port);
  if (found == plugged_.end())
    return reply.send(Error{ENXIO, port + ": nothing is plugged in there; unetmap ports lists the ports"});
  Plugged& plugged = *found->second;
  if (plugged.attached)
    return reply.send(Error{EINVAL, port + ": was attached, not plugged in; use vale-ctl -d " + port});
  if (!plugged.leaving) {
    for (Reply& each : plugged.waiting) each.send(Error{EINTR, port + ": was unplugged before it served"});
    plugged.waiting.clear();
  }
  plugged.leaving = true;
  plugged.waiting.push_back(std::move(reply));
  if (plugged.worker)
    plugged.worker->stop();
  else
    remove(plugged, {});
}

bool Plugs::answers(const std::string& json, Reply& reply) {
  Json asked = parse_json(json);
  if (!asked.is_object() || !asked.contains("what") || asked["what"] != "plugs") return false;
  auto question = std::make_shared<Question>();
  question->reply = std::move(reply);
  if (asked.contains("port") && asked["port"].is_string()) question->only = asked["port"].get<std::string>();
  question->id = ++last_question_;
  for (auto& [port, plugged] : plugged_) {
    if (!question->only.empty() && port != question->only) continue;
    if (!plugged->worker || !plugged->ready) continue;
    if (plugged->worker->send({.op = wire::WorkerOrder::Op::kStatus, .id = question->id})) question->open++;
  }
  questions_[question->id] = question;
  if (question->open == 0)
    answer_question(question);
  else
    question->timer = loop_.after(kAnswerWithin_ms, [this, question] {
      question->timer = 0;
      answer_question(question);
    });
  return true;
}

void Plugs::answer_question(const std::shared_ptr<Question>& question) {
  if (question->timer) loop_.cancel(question->timer);
  questions_.erase(question->id);
  Json list = Json::array();
  for (auto& [port, plugged] : plugged_) {
    if (!question->only.empty() && port != question->only) continue;
    Json entry = registry_.plug_ports().json(port);
    entry["port"] = port;
    entry["parameters"] = plugged->what.parameters;
    entry["restarts"] = plugged->restarts;
    if (auto found = question->status.find(port); found != question->status.end()) entry["status"] = found->second;
    list.push_back(std::move(entry));
  }
  if (!question->only.empty() && list.empty())
    return question->reply.send(
        Error{ENXIO, question->only + ": nothing is plugged in there; unetmap ports lists the ports"});
  Answer answer;
  auto added = answer.add_text(json_text(Json{{"plugs", std::move(list)}}));
  question->reply.send(added, std::move(answer));
}

void Plugs::save() const {
  if (file_.empty()) return;
  Json list = Json::array();
  for (auto& [port, plugged] : plugged_) {
    if (plugged->attached || plugged->leaving || !plugged->waiting.empty()) continue;  // never served yet
    Json entry = plugged->what.parameters;
    entry["port"] = port;
    entry["kind"] = plugged->what.kind;
    list.push_back(std::move(entry));
  }
  if (list.empty()) {
    unlink(file_.c_str());
    return;
  }
  std::string text = json_text(Json{{"plugs", std::move(list)}}, 1) + "\n";
  if (auto written = write_file(file_, text); !written)
    log(written.error().text + "; what is plugged in will not outlive this daemon");
}

void Plugs::restore(const std::string& socket_path) {
  socket_path_ = socket_path;
  file_ = socket_path + ".plugs";
  std::string text = read_file(file_);
  if (text.empty()) return;
  Json kept = parse_json(text);
  if (!kept.is_object() || !kept.contains("plugs") || !kept["plugs"].is_array()) {
    log(file_ + ": is not what a daemon writes there; nothing is plugged in again");
    return;
  }
  for (const Json& each : kept["plugs"]) {
    auto what = wire::parse_plug(json_text(each));
    auto made = what ? registry_.plug_ports().reserve(*what) : Result<void>(what.error());
    if (!made) {
      log(file_ + ": " + made.error().text);
      continue;
    }
    // Rather no port than one without its fences.
    if (auto set = apply_settings(*what); !set) {
      log(file_ + ": " + set.error().text);
      registry_.plug_ports().release(what->port);
      continue;
    }
    auto& plugged = plugged_[what->port];
    plugged = std::make_unique<Plugged>();
    plugged->what = std::move(*what);
    plugged->shown = plugged->what.kind;
    plugged->resumes = true;
    if (auto begun = begin(*plugged); !begun) {
      log(begun.error().text);
      pause(*plugged);
    }
  }
}

}  // namespace unetmap::daemon
