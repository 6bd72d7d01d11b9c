// SPDX-License-Identifier: BSD-2-Clause
// Options of a port specification, for any list of parsers: finds the parser, splits keys from values, checks both.
#include <cstring>
#include <iterator>

#include "libnetmap/internal.hh"

namespace {

using libnetmap::fail;

// '-' and '_' are the same in names.
bool same_name(const char* a, const char* b) {
  for (; *a != '\0' && *b != '\0'; ++a, ++b) {
    if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b)) return false;
  }
  return *a == *b;
}

const nmreq_opt_key* find_key(const nmreq_opt_parser& parser, const char* name) {
  for (const auto& key : parser.keys) {
    if (key.key == nullptr) break;
    if (same_name(key.key, name)) return &key;
  }
  return nullptr;
}

const nmreq_opt_key* default_key(const nmreq_opt_parser& parser) {
  for (const auto& key : parser.keys) {
    if (key.key == nullptr) break;
    if (parser.default_key >= 0 && key.id == parser.default_key) return &key;
  }
  return nullptr;
}

int set_key(const nmreq_opt_parser& parser, const nmreq_opt_key& key, const char* value, nmreq_parse_ctx* parse) {
  if (key.id < 0 || key.id >= NMREQ_OPT_MAXKEYS) {
    return fail(parse->ctx, EINVAL, "option '%s': its parser numbers key '%s' outside the table", parser.prefix,
                key.key);
  }
  if (parse->keys[key.id] != nullptr) {
    return fail(parse->ctx, EINVAL, "option '%s': key '%s' is given twice: leave one out", parser.prefix, key.key);
  }
  parse->keys[key.id] = value;
  return 0;
}

// One KEY=VALUE, KEY, or VALUE of the default key.
int take_pair(const nmreq_opt_parser& parser, char* pair, nmreq_parse_ctx* parse) {
  char* equals = std::strchr(pair, '=');
  if (equals != nullptr) *equals = '\0';
  const nmreq_opt_key* key = find_key(parser, pair);
  if (equals != nullptr) {
    if (key == nullptr) return fail(parse->ctx, EINVAL, "option '%s' has no key '%s'", parser.prefix, pair);
    if (equals[1] == '\0') {
      return fail(parse->ctx, EINVAL, "option '%s': no value follows '%s='", parser.prefix, pair);
    }
    return set_key(parser, *key, equals + 1, parse);
  }
  if (key != nullptr) {
    if ((key->flags & NMREQ_OPTK_ALLOWEMPTY) != 0) return set_key(parser, *key, key->key, parse);
    return fail(parse->ctx, EINVAL, "option '%s': key '%s' needs a value: write %s=...", parser.prefix, pair, pair);
  }
  const nmreq_opt_key* main_key = default_key(parser);
  if (main_key == nullptr || *pair == '\0') {
    return fail(parse->ctx, EINVAL, "option '%s' has no key '%s'", parser.prefix, pair);
  }
  return set_key(parser, *main_key, pair, parse);
}

int take_pairs(const nmreq_opt_parser& parser, char* text, nmreq_parse_ctx* parse) {
  for (;;) {
    char* comma = std::strchr(text, ',');
    if (comma != nullptr) *comma = '\0';
    if (take_pair(parser, text, parse) < 0) return -1;
    if (comma == nullptr) return 0;
    text = comma + 1;
  }
}

// One option without its '@'. The text is ours to cut up.
int take_option(char* text, nmreq_opt_parser* parsers, void* token, nmctx* ctx) {
  char* body = text + std::strcspn(text, ":=");
  const char delimiter = *body;
  if (delimiter != '\0') *body++ = '\0';

  nmreq_opt_parser* parser = parsers;
  while (parser != nullptr && !same_name(parser->prefix, text)) parser = parser->next;
  if (parser == nullptr) return fail(ctx, EINVAL, "option '%s' is not known: check its name", text);
  if ((parser->flags & NMREQ_OPTF_DISABLED) != 0) {
    return fail(ctx, EOPNOTSUPP, "option '%s' is switched off in this program: leave it out", text);
  }

  nmreq_parse_ctx parse = {};
  parse.ctx = ctx;
  parse.token = token;
  if (delimiter == '\0') {
    if ((parser->flags & NMREQ_OPTF_ALLOWEMPTY) == 0) {
      return fail(ctx, EINVAL, "option '%s' needs a value: write @%s=... or @%s:KEY=...", text, text, text);
    }
  } else if (delimiter == '=') {
    const nmreq_opt_key* key = default_key(*parser);
    if (key == nullptr) return fail(ctx, EINVAL, "option '%s' takes keys: write @%s:KEY=...", text, text);
    if (*body == '\0') return fail(ctx, EINVAL, "option '%s': no value follows '='", text);
    if (set_key(*parser, *key, body, &parse) < 0) return -1;
  } else if (take_pairs(*parser, body, &parse) < 0) {
    return -1;
  }
  for (const auto& key : parser->keys) {
    if (key.key == nullptr) break;
    if ((key.flags & NMREQ_OPTK_MUSTSET) != 0 && parse.keys[key.id] == nullptr) {
      return fail(ctx, EINVAL, "option '%s' needs key '%s': add %s=...", text, key.key, key.key);
    }
  }
  return parser->parse(&parse);
}

}  // namespace

namespace libnetmap {

bool parse_number(const char* text, uint64_t max, uint64_t* number) noexcept {
  uint64_t value = 0;
  if (*text == '\0') return false;
  for (; *text != '\0'; ++text) {
    if (*text < '0' || *text > '9') return false;
    const uint64_t digit = static_cast<uint64_t>(*text - '0');
    if (digit > max || value > (max - digit) / 10) return false;
    value = value * 10 + digit;
  }
  *number = value;
  return true;
}

}  // namespace libnetmap

extern "C" int nmreq_options_decode(const char* opt, nmreq_opt_parser* parsers, void* token, nmctx* ctx) noexcept {
  if (*opt == '\0') return 0;
  if (*opt != '@') return fail(ctx, EINVAL, "'%s' is not understood: an option starts with '@'", opt);

  const size_t bytes = std::strlen(opt) + 1;
  char* copy = static_cast<char*>(nmctx_malloc(ctx, bytes));
  if (copy == nullptr) return fail(ctx, ENOMEM, "no memory to parse '%s'", opt);
  std::memcpy(copy, opt, bytes);

  int answer = 0;
  for (char* text = copy; text != nullptr && answer == 0;) {
    ++text;  // the '@', or where it was
    char* next = std::strchr(text, '@');
    if (next != nullptr) *next = '\0';
    answer = take_option(text, parsers, token, ctx);
    text = next;
  }
  const libnetmap::KeepErrno keep;
  nmctx_free(ctx, copy);
  return answer;
}
