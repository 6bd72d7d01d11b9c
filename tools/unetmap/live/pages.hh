// SPDX-License-Identifier: BSD-2-Clause
// What the server of `unetmap serve` answers, by path.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

#include "guard.hh"
#include "http.hh"

namespace unetmap::cli::live {

class Pages {
 public:
  // `folder`: of the page's files. `program`: this very program, which captures.
  Pages(GuardRules rules, std::string folder, std::string program)
      : rules_(rules), guard_(std::move(rules)), folder_(std::move(folder)), program_(std::move(program)) {}
  ~Pages() { end_captures(); }

  // From any thread.
  HttpAnswer answer(const HttpQuery& query);
  // Ends the captures under way, so that their streams end.
  void end_captures();

 private:
  static constexpr auto kFresh = std::chrono::milliseconds(200);  // many who look cost the daemon one answer
  static constexpr size_t kMaxCaptures = 4;

  HttpAnswer asset(const std::string& name) const;
  HttpAnswer live();
  HttpAnswer question(const char* what, const std::string& key, const std::string& value) const;
  HttpAnswer prometheus(const std::string& accept) const;
  HttpAnswer capture(const HttpQuery& query);
  HttpAnswer set(const std::string& body) const;

  const GuardRules rules_;
  const Guard guard_;
  const std::string folder_, program_;
  std::mutex mutex_;
  std::string live_;
  std::chrono::steady_clock::time_point live_at_{};
  std::vector<pid_t> captures_;
};

// Where the page's files are: UNETMAP_WEB, beside the program in a build tree, or in its prefix. Empty: nowhere.
std::string page_folder(const std::string& program);

}  // namespace unetmap::cli::live
