// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/process/spare_memory.hh"

#include <cstdlib>
#include <new>

namespace unetmap::daemon {
namespace {

// Pieces, as one request takes a part of one at most, and refusing others and what else goes on takes some, too. Each
// is a mapping of its own (M_MMAP_THRESHOLD), which gives the addresses back to whoever needs them.
constexpr int kPieces = 4;
constexpr size_t kPieceBytes = 256 << 10;

void* pieces[kPieces];

bool fill() {
  for (void*& piece : pieces)
    if (!piece && !(piece = std::malloc(kPieceBytes))) return false;
  return true;
}

void give_one() {
  for (void*& piece : pieces) {
    if (!piece) continue;
    std::free(piece);
    piece = nullptr;
    return;
  }
  throw std::bad_alloc();
}

}  // namespace

void put_memory_aside() {
  fill();
  std::set_new_handler(give_one);
}

bool memory_is_aside() { return fill(); }

}  // namespace unetmap::daemon
