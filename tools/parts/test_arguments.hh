// SPDX-License-Identifier: BSD-2-Clause
// Command lines for tests of programs' options.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace unetmap::parts {

/// What main() would get. Valid as long as it is.
class TestArguments {
 public:
  TestArguments(const char* program, std::vector<std::string> words) : words_(std::move(words)) {
    words_.insert(words_.begin(), program);
    for (std::string& word : words_) argv_.push_back(word.data());
    argv_.push_back(nullptr);
  }
  TestArguments(const TestArguments&) = delete;

  int argc() const { return static_cast<int>(words_.size()); }
  char** argv() { return argv_.data(); }

 private:
  std::vector<std::string> words_;
  std::vector<char*> argv_;
};

}  // namespace unetmap::parts
