// SPDX-License-Identifier: BSD-2-Clause
// Which requests the local web page's server answers: none that another site's page has a visitor's browser send.
//
//   Host           must be a name of this server, so that a foreign name that resolves to it (DNS rebinding) is refused
//   Origin         of what changes something: must be this server's own
//   Sec-Fetch-Site where the browser tells it: not cross-site, nor same-site, for all but the page itself
//   token          when the server listens on more than this machine: as a cookie, or Authorization: Bearer
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace unetmap::cli::live {

struct HttpRequest {
  std::string method, path;
  std::string host, origin, fetch_site, authorization, cookie;
  std::string token_argument;  // ?token=

  // A target in absolute form, http://HOST/PATH, asks for /PATH, of HOST whatever the field says (RFC 9112, 3.2.2).
  // What is no such target stays as it is.
  void to_origin_form();
};

struct GuardRules {
  std::vector<std::string> hosts;  // "localhost:8080", "[::1]:8080"; empty: any (a Unix socket)
  std::string token;               // empty: none is wanted
  bool control = false;            // changes are allowed
};

struct Refusal {
  unsigned status;   // of HTTP
  std::string text;  // one line that says why, and what to do
};

class Guard {
 public:
  explicit Guard(GuardRules rules) : rules_(std::move(rules)) {}
  // No value: to be answered.
  std::optional<Refusal> check(const HttpRequest& request) const;

  static constexpr const char* kCookie = "unetmap_token";

 private:
  bool has_token(const HttpRequest& request) const;

  GuardRules rules_;
};

}  // namespace unetmap::cli::live
