// SPDX-License-Identifier: BSD-2-Clause
// Whether there is a port of a name: for who reads names that can be meant in two ways.
#include <algorithm>
#include <cstring>
#include <string>

#include "client/link/rpc.hh"
#include "client/link/running.hh"
#include "unetmap/unetmap.h"
#include "wire/channel.hh"

using namespace unetmap;

extern "C" int unetmap_port_exists(const char* name) {
  std::string text = name ? name : "";
  // What no name has would end the question's text.
  auto good = [](char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || strchr("_-.^:{}@", c);
  };
  if (text.empty() || !std::all_of(text.begin(), text.end(), good)) return 0;
  auto daemon = client::connect_running_daemon();
  if (!daemon) return 0;
  std::string question = R"({"what":"port","port":")" + text + R"("})";
  auto reply = client::ask(daemon->get(), wire::Op::kQuery,
                           {reinterpret_cast<const uint8_t*>(question.data()), question.size()});
  return reply ? 1 : 0;
}
