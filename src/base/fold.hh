// SPDX-License-Identifier: BSD-2-Clause
// Help texts that fit a terminal.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace unetmap {

// `text` with its lines broken at spaces, so that none is wider than `width` columns unless a single word is. What is
// broken off goes below the column where the line's explanation begins (behind the first two spaces in a row), or below
// the line's first word where it has none.
inline std::string fold(std::string_view text, size_t width = 80) {
  std::string out;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    const size_t first = std::min(line.find_first_not_of(' '), line.size());
    const size_t gap = line.find("  ", first);
    const size_t explained = gap == line.npos ? line.npos : line.find_first_not_of(' ', gap);
    const size_t hang = explained < width / 2 ? explained : first;
    size_t indent = 0;  // of what is left of the line, as it is printed
    while (indent + line.size() > width) {
      // Not inside the spaces before the explanation, nor before the first word of what is left.
      size_t cut = line.rfind(' ', width - indent);
      const size_t least = indent ? 0 : hang;
      if (cut == line.npos || cut <= least) cut = line.find(' ', least + 1);
      if (cut == line.npos) break;
      out.append(indent, ' ').append(line.substr(0, cut)) += '\n';
      line.remove_prefix(cut + 1);
      indent = hang;
    }
    out.append(line.empty() ? 0 : indent, ' ').append(line) += '\n';
  }
  return out;
}

}  // namespace unetmap
