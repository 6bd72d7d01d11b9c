// SPDX-License-Identifier: BSD-2-Clause
#include "guest/guest_memory.hh"

#include <algorithm>
#include <cstdio>

#include "guest/shared_window.hh"

namespace unetmap::guest {
namespace {

constexpr uint64_t kLogPage = 4096;  // bytes of guest memory that a bit of the log stands for

std::string named(const Region& region) {
  char text[96];
  snprintf(text, sizeof text, "memory region %#llx+%#llx", static_cast<unsigned long long>(region.guest),
           static_cast<unsigned long long>(region.bytes));
  return text;
}

bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes) { return a < b + b_bytes && b < a + a_bytes; }

}  // namespace

class GuestMemory::Window : public SharedWindow {
 public:
  explicit Window(SharedWindow&& window) : SharedWindow(std::move(window)) {}
};

GuestMemory::GuestMemory() : broken_(std::make_unique<std::atomic<bool>>(false)) {}
GuestMemory::~GuestMemory() = default;

Result<void> GuestMemory::check(const std::vector<Entry>& table, const Region& region) {
  uint64_t end;
  if (region.bytes == 0) return Error{EINVAL, named(region) + ": empty"};
  if (__builtin_add_overflow(region.guest, region.bytes, &end) ||
      __builtin_add_overflow(region.user, region.bytes, &end) ||
      __builtin_add_overflow(region.offset, region.bytes, &end))
    return Error{EINVAL, named(region) + ": beyond the end of the address space"};
  if (table.size() >= kMaxRegions)
    return Error{ENOSPC, named(region) + ": more than " + std::to_string(kMaxRegions) + " regions"};
  for (const Entry& entry : table)
    if (overlap(entry.guest, entry.bytes, region.guest, region.bytes) ||
        overlap(entry.user, entry.bytes, region.user, region.bytes))
      return Error{EINVAL, named(region) + ": overlaps another region"};
  return {};
}

Result<GuestMemory::Entry> GuestMemory::map(const Region& region, int fd) const {
  auto window = SharedWindow::map(fd, region.bytes, region.offset, *broken_, region.writable);
  if (!window) return Error{window.error().code, named(region) + ": " + window.error().text};
  Entry entry{region.guest, region.bytes, region.user, window->data(), nullptr};
  entry.window = std::make_unique<Window>(std::move(*window));
  return entry;
}

// The largest first: most addresses are in it.
static constexpr auto kBySize = [](const auto& a, const auto& b) { return a.bytes > b.bytes; };

// Of what `region` names, in the table or among those that are gone.
static auto named_by(const Region& region) {
  return [&region](const auto& each) {
    return each.guest == region.guest && each.bytes == region.bytes && each.user == region.user;
  };
}

std::vector<GuestMemory::Entry>::iterator GuestMemory::find(const Region& region) {
  return std::find_if(table_.begin(), table_.end(), named_by(region));
}

Result<void> GuestMemory::add(const Region& region, int fd) {
  const auto same = find(region);
  if (same == table_.end())
    if (auto good = check(table_, region); !good) return good;
  auto entry = map(region, fd);
  if (!entry) return entry.error();
  if (same == table_.end())
    table_.push_back(std::move(*entry));
  else
    *same = std::move(*entry);
  std::stable_sort(table_.begin(), table_.end(), kBySize);
  std::erase_if(away_, [&](const Region& gone) { return overlap(gone.guest, gone.bytes, region.guest, region.bytes); });
  generation_++;
  return {};
}

Result<void> GuestMemory::remove(const Region& region) {
  const auto found = find(region);
  if (found == table_.end()) {
    if (std::any_of(away_.begin(), away_.end(), named_by(region))) return {};
    return Error{ENOENT, named(region) + ": no such region"};
  }
  table_.erase(found);
  if (away_.size() == kMaxRegions) away_.erase(away_.begin());
  away_.push_back(region);
  generation_++;
  return {};
}

Result<void> GuestMemory::replace(std::span<const Region> regions, std::span<const UniqueFd> fds) {
  if (regions.size() != fds.size()) return Error{EINVAL, "memory table: as many files as regions are needed"};
  std::vector<Entry> table;
  // A region that was cut short before must not spoil the new ones.
  bool was_broken = broken_->exchange(false, std::memory_order_relaxed);
  for (size_t i = 0; i < regions.size(); i++) {
    auto good = check(table, regions[i]);
    auto entry = good ? map(regions[i], fds[i].get()) : Result<Entry>(good.error());
    if (!entry) {
      broken_->store(was_broken, std::memory_order_relaxed);
      return entry.error();
    }
    table.push_back(std::move(*entry));
  }
  std::stable_sort(table.begin(), table.end(), kBySize);
  table_ = std::move(table);
  away_.clear();
  generation_++;
  return {};
}

void GuestMemory::clear() {
  table_.clear();
  away_.clear();
  broken_->store(false, std::memory_order_relaxed);
  generation_++;
}

uint8_t* GuestMemory::at_user(uint64_t user, uint64_t len) const {
  for (const Entry& entry : table_) {
    uint64_t into = user - entry.user;
    if (into < entry.bytes && len <= entry.bytes - into) return entry.host + into;
  }
  return nullptr;
}

bool GuestMemory::away(uint64_t guest) const {
  return std::any_of(away_.begin(), away_.end(), [&](const Region& gone) { return guest - gone.guest < gone.bytes; });
}

bool GuestMemory::guest_of_user(uint64_t user, uint64_t& guest) const {
  for (const Entry& entry : table_) {
    uint64_t into = user - entry.user;
    if (into >= entry.bytes) continue;
    guest = entry.guest + into;
    return true;
  }
  return false;
}

Result<void> GuestMemory::set_log(int fd, uint64_t bytes, uint64_t offset) {
  std::unique_ptr<Window> window;
  if (fd >= 0) {
    auto mapped = SharedWindow::map(fd, bytes, offset, *broken_);
    if (!mapped) return Error{mapped.error().code, "log of written pages: " + mapped.error().text};
    window = std::make_unique<Window>(std::move(*mapped));
  }
  log_ = window ? window->data() : nullptr;
  log_bytes_ = window ? bytes : 0;
  log_window_ = std::move(window);
  return {};
}

// Release: who finds the bit set finds what was written before. Pages behind the end of the log are not the
// front-end's.
void GuestMemory::mark(uint64_t guest, uint64_t bytes) const {
  if (bytes == 0) return;
  uint64_t last;
  if (__builtin_add_overflow(guest, bytes - 1, &last)) return;
  for (uint64_t page = guest / kLogPage; page <= last / kLogPage && page / 8 < log_bytes_; page++)
    __atomic_fetch_or(log_ + page / 8, uint8_t(1u << (page % 8)), __ATOMIC_RELEASE);
}

}  // namespace unetmap::guest
