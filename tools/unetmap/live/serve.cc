// SPDX-License-Identifier: BSD-2-Clause
#include "serve.hh"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <cstdlib>
#include <fstream>

#include "answers.hh"
#include "base/json.hh"
#include "base/output.hh"
#include "daemon_link.hh"
#include "listen_address.hh"
#include "metrics.hh"
#include "pages.hh"
#include "parts/stop.hh"
#include "wire/channel.hh"

namespace unetmap::cli::live {
namespace {

int fail(const char* command, const std::string& text, int status = kFailed) {
  print_err("unetmap: {}: {}\n", command, text);
  return status;
}

std::string own_program() {
  char path[PATH_MAX];
  const ssize_t bytes = readlink("/proc/self/exe", path, sizeof path);
  return bytes > 0 && size_t(bytes) < sizeof path ? std::string(path, size_t(bytes)) : "";
}

// From the file; "-" makes a new one.
Result<std::string> token_of(const std::string& file) {
  if (file.empty()) return std::string();
  std::string token;
  if (file == "-") {
    unsigned char random[24];
    if (getrandom(random, sizeof random, 0) != ssize_t(sizeof random)) return Error::from_errno(errno, "a token");
    for (unsigned char byte : random) token += fmt::format("{:02x}", byte);
    return token;
  }
  std::ifstream in(file);
  if (!(in >> token))
    return Error{
        EINVAL,
        file + ": holds no token; put one word of 16 letters and digits or more into it, or give - for a new one"};
  for (char c : token)
    if (!std::isalnum(static_cast<unsigned char>(c)))
      return Error{EINVAL, file + ": the token may hold letters and digits only"};
  if (token.size() < 16) return Error{EINVAL, file + ": the token is shorter than 16 characters"};
  return token;
}

Result<std::string> metrics_now(Exposition exposition) {
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link) return link.error();
  if (!*link) return metrics_without_daemon(exposition);
  auto live = (**link).live();
  if (!live) return live.error();
  auto sample = sample_of(*live);
  if (!sample) return sample.error();
  auto facts = (**link).query({{"what", "daemon"}});
  if (!facts) return facts.error();
  return metrics(*sample, daemon_facts(*facts), exposition);
}

// Readers see the old file or the new one, never half of it.
Result<void> replace_file(const std::string& file, const std::string& text) {
  const std::string beside = fmt::format("{}.{}", file, getpid());
  UniqueFd fd(open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return Error::from_errno(errno, beside);
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = write(fd.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int code = errno;
      unlink(beside.c_str());
      return Error::from_errno(code, beside);
    }
    done += size_t(n);
  }
  if (rename(beside.c_str(), file.c_str()) == 0) return {};
  const int code = errno;
  unlink(beside.c_str());
  return Error::from_errno(code, file);
}

}  // namespace

ServeCommands::ServeCommands(Command& app) {
  serve_ = app.add_subcommand("serve", "a local web page with everything live, and /metrics for Prometheus");
  serve_.add_option("-l,--listen", listen_, "ADDRESS:PORT, or the path of a Unix socket").capture_default_str();
  serve_.add_option("--token", token_file_,
                    "who asks has to know the word in this file; - makes a new one and prints it");
  serve_.add_option("--host", hosts_, "another name:port by which browsers may call this server");
  serve_.add_flag("--control", control_, "the page may change ports, and not only show them");

  metrics_ = app.add_subcommand("metrics", "counters as text for Prometheus");
  metrics_.add_flag("--openmetrics", open_metrics_, "in OpenMetrics' form, instead of node_exporter's textfile form");
  CommandOption write =
      metrics_.add_option("-w,--write", write_, "into this file, whole at once, instead of standard output");
  metrics_.add_option("-i,--interval", interval_s_, "again every so many seconds, until a signal")
      .in_range(1.0, 86400.0)
      .needs(write);
}

bool ServeCommands::chosen() const { return serve_ || metrics_; }

int ServeCommands::run() {
  parts::stop_on_signals();
  signal(SIGPIPE, serve_ ? SIG_IGN : SIG_DFL);
  return serve_ ? serve() : print_metrics();
}

int ServeCommands::serve() {
  auto token = token_of(token_file_);
  if (!token) return fail("serve", "--token: " + token.error().text, kUsage);
  auto listening = listen_at(listen_);
  if (!listening)
    return fail("serve", "--listen " + listening.error().text, listening.error().code == EINVAL ? kUsage : kFailed);
  auto leave = [&] {
    if (!listening->remove.empty()) unlink(listening->remove.c_str());
  };
  if (!listening->loopback && token->empty()) {
    leave();
    return fail(
        "serve",
        fmt::format("{}: others reach this address, so a token is needed: add --token FILE, or --token - for a new one",
                    listen_),
        kUsage);
  }
  std::vector<std::string> hosts = listening->hosts;
  if (!hosts.empty()) hosts.insert(hosts.end(), hosts_.begin(), hosts_.end());
  const std::string program = own_program();
  const std::string folder = page_folder(program);
  if (folder.empty()) print_err("unetmap: serve: the page's files are not installed; /api and /metrics are served\n");
  Pages pages({hosts, *token, control_}, folder, program);
  const std::string url = listening->url + (token->empty() ? "" : "?token=" + *token);
  auto server =
      HttpServer::start(std::move(listening->fd), [&](const HttpQuery& query) { return pages.answer(query); });
  if (!server) {
    leave();
    return fail("serve", server.error().text);
  }
  print_out("{}\n", url);
  fflush(stdout);
  pollfd stop{parts::stop_event(), POLLIN, 0};
  while (!parts::stop_wanted.load(std::memory_order_relaxed))
    if (::poll(&stop, 1, -1) < 0 && errno != EINTR) break;
  pages.end_captures();
  server->reset();
  leave();
  return kOk;
}

int ServeCommands::print_metrics() {
  const Exposition exposition = open_metrics_ ? Exposition::kOpenMetrics : Exposition::kPrometheus;
  for (;;) {
    auto text = metrics_now(exposition);
    if (!text) return fail("metrics", text.error().text);
    if (write_.empty()) {
      if (fwrite(text->data(), 1, text->size(), stdout) != text->size() || fflush(stdout) != 0)
        return fail("metrics", fmt::format("cannot write: {}", strerror(errno)));
      return kOk;
    }
    if (auto written = replace_file(write_, *text); !written) return fail("metrics", written.error().text);
    if (interval_s_ == 0) return kOk;
    pollfd stop{parts::stop_event(), POLLIN, 0};
    ::poll(&stop, 1, int(interval_s_ * 1000));
    if (parts::stop_wanted.load(std::memory_order_relaxed)) return kOk;
  }
}

}  // namespace unetmap::cli::live
