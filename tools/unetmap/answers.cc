// SPDX-License-Identifier: BSD-2-Clause
#include "answers.hh"

#include <net/netmap.h>
#include <unetmap/unetmap.h>

#include "base/output.hh"
#include "wire/channel.hh"

namespace unetmap::cli {

std::string no_daemon() { return "no daemon is running at " + wire::default_socket_path(); }

Result<std::optional<Json>> answer_to(const View& view) {
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link) return link.error();
  if (!*link) {
    print_err("unetmap: {}\n", no_daemon());
    if (view.json) parts::print_json("unetmap", view.nothing);
    return std::optional<Json>();
  }
  auto answer = (**link).query(view.question);
  if (!answer) return answer.error();
  if (view.with_plug && !(*answer)["ports"].empty()) {
    // What the worker of a port counts; most ports have none.
    auto plugs = (**link).query({{"what", "plugs"}, {"port", view.question["port"]}});
    if (plugs && !(*plugs)["plugs"].empty()) (*answer)["ports"][0]["plug"] = (*plugs)["plugs"][0];
  }
  return std::optional<Json>(std::move(*answer));
}

int show(const View& view, const std::function<std::string(const Json&)>& table,
         const std::function<Json(Json)>& change) {
  auto answer = answer_to(view);
  if (!answer) return fail(answer.error().text);
  if (!*answer) return kOk;
  const Json changed = change ? change(std::move(**answer)) : std::move(**answer);
  if (view.json) {
    parts::print_json("unetmap", changed);
  } else {
    write_text(stdout, table(changed));
  }
  return kOk;
}

Result<DaemonLink> running_daemon(UniqueFd& hold) {
  hold = UniqueFd(open(NETMAP_DEVICE_NAME, O_RDWR | O_CLOEXEC));
  if (!hold) return Error{ENXIO, *unetmap_last_error() ? unetmap_last_error() : "the daemon cannot be reached"};
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link) return link.error();
  if (!*link) return Error{ENXIO, "the daemon ended; try again"};
  return std::move(**link);
}

}  // namespace unetmap::cli
