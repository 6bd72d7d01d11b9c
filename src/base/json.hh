// SPDX-License-Identifier: BSD-2-Clause
// JSON. To text and back is compiled once, in json.cc: these two are most of what the library costs to compile, so that
// no other file calls dump() or parse() of its own.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace unetmap {

// Members stay in the order in which they were given.
using Json = nlohmann::ordered_json;

// Bytes that are no UTF-8 (names come from clients, and need not be text) become U+FFFD. indent: columns of each level;
// -1: all in one line.
std::string json_text(const Json& json, int indent = -1);

// json.is_discarded() where the text is no JSON.
Json parse_json(std::string_view text);

// Tells `to` of one part of the text after the other, and builds nothing: for what is large and asked for again and
// again. False where the text is no JSON; what came before that has been told.
bool walk_json(std::string_view text, nlohmann::json_sax<Json>& to);

// A string as it is written in JSON, quotes included, behind `to`.
void append_json(std::string& to, std::string_view text);

// The text of a member; empty where it is none.
std::string text_of(const Json& json, const char* member);

}  // namespace unetmap
