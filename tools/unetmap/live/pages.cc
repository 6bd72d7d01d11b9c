// SPDX-License-Identifier: BSD-2-Clause
#include "pages.hh"

#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/json.hh"
#include "base/process_error.hh"
#include "daemon_link.hh"
#include "metrics.hh"
#include "wire/channel.hh"

extern char** environ;

namespace unetmap::cli::live {
namespace {

constexpr const char* kJson = "application/json";
constexpr unsigned kMaxCaptureSeconds = 600;

HttpAnswer plain(unsigned status, std::string text) {
  HttpAnswer out;
  out.status = status;
  out.body = std::move(text) + "\n";
  return out;
}

HttpAnswer json(unsigned status, const Json& value) {
  HttpAnswer out;
  out.status = status;
  out.type = kJson;
  out.body = json_text(value);
  return out;
}

// The daemon's answer, or what to say instead: 503 when none runs.
Result<Json> ask(const Json& wanted) {
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link) return link.error();
  if (!*link) return Error{ENOENT, "no daemon is running at " + wire::default_socket_path()};
  return (**link).query(wanted);
}

Result<std::string> ask_live() {
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link) return link.error();
  if (!*link) return Error{ENOENT, "no daemon is running at " + wire::default_socket_path()};
  return (**link).live();
}

HttpAnswer failed(const Error& error) {
  const unsigned status = error.code == ENOENT ? 503 : error.code == ENXIO ? 404 : 502;
  return json(status, {{"error", error.text}});
}

}  // namespace

std::string page_folder(const std::string& program) {
  namespace fs = std::filesystem;
  if (const char* named = getenv("UNETMAP_WEB"); named && *named) return named;
  const fs::path bin = fs::path(program).parent_path();
  for (const fs::path& folder : {bin / "../web", bin / "../share/unetmap/web"}) {
    std::error_code none;
    if (fs::exists(folder / "index.html", none)) return folder.lexically_normal().string();
  }
  return "";
}

HttpAnswer Pages::answer(const HttpQuery& query) {
  const HttpRequest& request = query.request;
  if (auto refusal = guard_.check(request)) return json(refusal->status, {{"error", refusal->text}});
  const std::string& path = request.path;
  if (request.method == "POST")
    return path == "/api/set" ? set(query.body) : plain(404, path + ": nothing to change here");
  if (path == "/") {
    HttpAnswer page = asset("index.html");
    // Who came with the token in the address goes on with a cookie.
    if (!rules_.token.empty())
      page.headers.emplace_back("Set-Cookie",
                                fmt::format("{}={}; Path=/; HttpOnly; SameSite=Strict", Guard::kCookie, rules_.token));
    return page;
  }
  if (path == "/api/live") return live();
  if (path == "/api/ports") return question("ports", "", "");
  if (path == "/api/daemon") return question("daemon", "", "");
  if (path == "/api/fdb") return question("fdb", "switch", query.argument("switch"));
  if (path == "/api/rights") return json(200, {{"control", rules_.control}, {"version", UNETMAP_VERSION}});
  if (path == "/api/capture") return capture(query);
  if (path == "/metrics") return prometheus(query.argument("format"));
  return asset(path.substr(1));
}

// Only files that are named here: nothing of a path reaches the file system.
HttpAnswer Pages::asset(const std::string& name) const {
  static const std::map<std::string, const char*> kTypes = {
      {"index.html", "text/html; charset=utf-8"},
      {"app.js", "text/javascript; charset=utf-8"},
      {"style.css", "text/css; charset=utf-8"},
      {"vendor/uPlot.iife.min.js", "text/javascript; charset=utf-8"},
      {"vendor/uPlot.min.css", "text/css; charset=utf-8"},
      {"favicon.svg", "image/svg+xml"},
  };
  auto found = kTypes.find(name);
  if (found == kTypes.end()) return plain(404, "/" + name + ": there is no such page");
  std::ifstream in(folder_ + "/" + name, std::ios::binary);
  if (!in) return plain(404, name + ": is not in " + (folder_.empty() ? "the installation" : folder_));
  std::stringstream text;
  text << in.rdbuf();
  HttpAnswer out;
  out.type = found->second;
  out.body = text.str();
  return out;
}

HttpAnswer Pages::live() {
  std::lock_guard hold(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (live_.empty() || now - live_at_ > kFresh) {
    auto answer = ask_live();
    if (!answer) {
      live_.clear();
      return failed(answer.error());
    }
    live_ = std::move(*answer);
    live_at_ = now;
  }
  HttpAnswer out;
  out.type = kJson;
  out.body = live_;
  return out;
}

HttpAnswer Pages::question(const char* what, const std::string& key, const std::string& value) const {
  Json wanted{{"what", what}};
  if (!key.empty()) wanted[key] = value;
  auto answer = ask(wanted);
  return answer ? json(200, *answer) : failed(answer.error());
}

HttpAnswer Pages::prometheus(const std::string& format) const {
  const Exposition exposition = format == "prometheus" ? Exposition::kPrometheus : Exposition::kOpenMetrics;
  HttpAnswer out;
  out.type = exposition == Exposition::kOpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                                    : "text/plain; version=0.0.4; charset=utf-8";
  auto live = ask_live();
  auto facts = live ? ask({{"what", "daemon"}}) : Result<Json>(live.error());
  if (!facts && facts.error().code == ENOENT) {
    out.body = metrics_without_daemon(exposition);
    return out;
  }
  if (!facts) return failed(facts.error());
  auto sample = sample_of(*live);
  if (!sample) return failed(sample.error());
  out.body = metrics(*sample, daemon_facts(*facts), exposition);
  return out;
}

// `unetmap capture` in a process of its own, its output handed on.
HttpAnswer Pages::capture(const HttpQuery& query) {
  const std::string port = query.argument("port"), wanted = query.argument("seconds");
  char* end = nullptr;
  const unsigned long seconds = wanted.empty() ? 10 : strtoul(wanted.c_str(), &end, 10);
  if ((end && *end) || seconds < 1 || seconds > kMaxCaptureSeconds)
    return json(400, {{"error", fmt::format("seconds: '{}' is not from 1 to {}", wanted, kMaxCaptureSeconds)}});
  auto answer = ask({{"what", "stats"}, {"port", port}});
  if (port.empty() || !answer)
    return port.empty() ? json(400, {{"error", "port: which one?"}}) : failed(answer.error());
  std::lock_guard hold(mutex_);
  if (captures_.size() >= kMaxCaptures)
    return json(429, {{"error", fmt::format("{} captures run already; wait for one to end", kMaxCaptures)}});
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return failed(Error::from_errno(errno, "capture"));
  UniqueFd ours(ends[0]), theirs(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), STDOUT_FILENO);
  const std::string duration = std::to_string(seconds) + "s";
  const char* arguments[] = {"unetmap", "capture", "-q", "-d", duration.c_str(), "--", port.c_str(), nullptr};
  pid_t pid;
  const int code = posix_spawn(&pid, program_.c_str(), &actions, nullptr, const_cast<char**>(arguments), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (code != 0) return failed(process_error(code, program_));
  captures_.push_back(pid);
  HttpAnswer out;
  out.type = "application/x-pcapng";
  out.stream = std::move(ours);
  std::string file = port;
  std::replace_if(
      file.begin(), file.end(), [](unsigned char c) { return !std::isalnum(c) && c != '-'; }, '_');
  out.headers.emplace_back("Content-Disposition", "attachment; filename=\"" + file + ".pcapng\"");
  out.finished = [this, pid] {
    // Taken off the list before it is waited for: from then on the number may be another process's.
    bool ours_still;
    {
      std::lock_guard hold(mutex_);
      ours_still = std::erase(captures_, pid) > 0;
    }
    if (ours_still) kill(pid, SIGTERM);
    waitpid(pid, nullptr, 0);
  };
  return out;
}

void Pages::end_captures() {
  std::lock_guard hold(mutex_);
  for (pid_t pid : captures_) kill(pid, SIGTERM);
}

HttpAnswer Pages::set(const std::string& body) const {
  Json wanted = parse_json(body);
  if (!wanted.is_object())
    return json(400, {{"error", "not a JSON object such as {\"port\":\"vale0:a\",\"lossless\":true}"}});
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link) return failed(link.error());
  if (!*link) return failed({ENOENT, "no daemon is running at " + wire::default_socket_path()});
  if (auto done = (**link).set(wanted); !done)
    return json(done.error().code == ENXIO ? 404 : 400, {{"error", done.error().text}});
  return json(200, Json::object());
}

}  // namespace unetmap::cli::live
