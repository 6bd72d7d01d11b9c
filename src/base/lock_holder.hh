// SPDX-License-Identifier: BSD-2-Clause
// Who holds a lock in shared memory: one word, which says nothing (0) or a thread and the PID namespace whose number
// for it that is. Whoever finds a lock whose holder is gone may take it over.
#pragma once

#include <cstdint>

namespace unetmap {

// Of the calling thread.
uint64_t lock_holder_word();
// Whether the numbers of the holder's namespace are those of this process.
bool holder_is_in_our_namespace(uint64_t word);
// Whether no such thread runs its program any more: it has ended, or is just ending. Of one in another namespace that
// cannot be told: false.
bool holder_has_ended(uint64_t word);

}  // namespace unetmap
