// SPDX-License-Identifier: BSD-2-Clause
#include "guard.hh"

#include <algorithm>
#include <cctype>

namespace unetmap::cli::live {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return text;
}

// Takes as long whatever the texts differ in.
bool equal_in_constant_time(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  unsigned char differ = 0;
  for (size_t i = 0; i < a.size(); i++) differ = static_cast<unsigned char>(differ | (a[i] ^ b[i]));
  return differ == 0;
}

// The value of a cookie among "a=1; b=2".
std::string cookie_of(const std::string& header, const std::string& name) {
  size_t at = 0;
  while (at < header.size()) {
    size_t end = std::min(header.find(';', at), header.size());
    while (at < end && header[at] == ' ') at++;
    if (header.compare(at, name.size() + 1, name + "=") == 0)
      return header.substr(at + name.size() + 1, end - at - name.size() - 1);
    at = end + 1;
  }
  return "";
}

}  // namespace

void HttpRequest::to_origin_form() {
  static const std::string kScheme = "http://";
  if (lower(path.substr(0, kScheme.size())) != kScheme) return;
  const size_t end = std::min(path.find('/', kScheme.size()), path.size());
  const std::string named = path.substr(kScheme.size(), end - kScheme.size());
  if (named.empty() || named.find('@') != std::string::npos) return;
  host = named;
  path = end == path.size() ? "/" : path.substr(end);
}

bool Guard::has_token(const HttpRequest& request) const {
  static const std::string kBearer = "Bearer ";
  if (request.authorization.starts_with(kBearer) &&
      equal_in_constant_time(request.authorization.substr(kBearer.size()), rules_.token))
    return true;
  return equal_in_constant_time(cookie_of(request.cookie, kCookie), rules_.token) ||
         equal_in_constant_time(request.token_argument, rules_.token);
}

std::optional<Refusal> Guard::check(const HttpRequest& request) const {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (!reads && request.method != "POST")
    return Refusal{405, request.method + ": only GET, HEAD and POST are answered"};
  if (!request.path.starts_with('/')) return Refusal{400, request.path + ": asked for is /PATH, or http://HOST/PATH"};
  const std::string host = lower(request.host);
  if (!rules_.hosts.empty() && std::find(rules_.hosts.begin(), rules_.hosts.end(), host) == rules_.hosts.end())
    return Refusal{421, "Host '" + request.host +
                            "' is not this server's; use the address that unetmap serve printed, or name it by --host"};
  if (!request.origin.empty() && lower(request.origin) != "http://" + host)
    return Refusal{403, "Origin '" + request.origin + "': pages of other sites are not answered"};
  const bool page = request.path == "/";
  if (!page && !request.fetch_site.empty() && request.fetch_site != "same-origin" && request.fetch_site != "none")
    return Refusal{403, "Sec-Fetch-Site " + request.fetch_site + ": pages of other sites are not answered"};
  if (!rules_.token.empty() && !has_token(request))
    return Refusal{
        401,
        "a token is needed: open the address with ?token= that unetmap serve printed, or send Authorization: Bearer"};
  if (!reads && !rules_.control)
    return Refusal{403, "this server only shows; start it with --control to change something"};
  if (!reads && request.origin.empty() && request.fetch_site.empty() && rules_.token.empty() &&
      request.authorization.empty() && !rules_.hosts.empty())
    return Refusal{403, "no Origin: a change comes from this server's own page, or brings Origin: http://" + host};
  return std::nullopt;
}

}  // namespace unetmap::cli::live
