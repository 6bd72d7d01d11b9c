// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/question/question.hh"

namespace unetmap::daemon {

Result<Json> parse_question(const std::string& text) {
  Json json = parse_json(text);
  if (!json.is_object()) return Error{EINVAL, "question: is no JSON object; see docs/wire.md"};
  return json;
}

ShownNames names_of(const Json& question) {
  auto found = question.find("netns");
  return ShownNames(found != question.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0);
}

std::string named_port(const Ports& ports, const Json& question) {
  const ShownNames names = names_of(question);
  for (const char* key : {"given", "port"}) {
    const std::string name = text_of(question, key);
    if (name.empty()) continue;
    if (std::string meant = names.meant(name); ports.find(meant)) return meant;
    // The name of an interface's port without a namespace is that of one of ours.
    if (const Port* port = ports.find(name); port && names.name_space(*port) == 0) return name;
  }
  return names.meant(text_of(question, "port"));
}

}  // namespace unetmap::daemon
