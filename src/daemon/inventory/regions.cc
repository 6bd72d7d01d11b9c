// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/inventory/regions.hh"

#include <string>

#include "daemon/port/memory.hh"

namespace unetmap::daemon {

uint32_t Regions::next_id() const {
  uint32_t id = last_;
  do {
    id = id >= kMaxId ? kGlobalRegion + 1 : id + 1;
    auto found = by_id_.find(id);
    if (found == by_id_.end() || found->second.expired()) return id;
  } while (id != last_);
  return 0;
}

Result<std::shared_ptr<Region>> Regions::make(const RegionShape& shape) { return make_over(shape, {}); }

Result<std::shared_ptr<Region>> Regions::make_over(const RegionShape& shape, UniqueFd device) {
  std::erase_if(external_, [](auto& entry) { return entry.second.expired(); });
  uint32_t id = next_id();
  if (id == 0) return Error{ENOMEM, "memory regions: all 65534 are in use; close some ports"};
  auto region = device ? Region::over(id, ++last_unique_, shape, std::move(device))
                       : Region::create(id, ++last_unique_, shape);
  if (!region) return region.error();
  last_ = id;
  by_id_[id] = *region;
  return *region;
}

Result<std::shared_ptr<Region>> Regions::by_id(uint32_t id) {
  auto found = by_id_.find(id);
  if (found != by_id_.end())
    if (auto region = found->second.lock()) return region;
  if (id != kGlobalRegion)
    return Error{EINVAL,
                 "memory region " + std::to_string(id) +
                     ": no port has it; open a port first and use the nr_mem_id that it reports, or 0 for a new one"};
  auto region = Region::create(kGlobalRegion, ++last_unique_, global_shape());
  if (!region) return region.error();
  by_id_[kGlobalRegion] = *region;
  return *region;
}

Result<std::shared_ptr<Region>> Regions::for_recipe(const Recipe& recipe, const std::string& sw) {
  if (recipe.region) return recipe.region;
  if (recipe.mem_id != 0) return by_id(recipe.mem_id);
  if (!recipe.exchanges) return make(region_shape_for(recipe.shape, recipe.extra_bufs));
  std::erase_if(exchanging_, [](auto& entry) { return entry.second.expired(); });
  if (auto found = exchanging_.find(sw); found != exchanging_.end()) return found->second.lock();
  auto region = make(exchanging_region_shape(kExchangingPorts));
  if (region) exchanging_[sw] = *region;
  return region;
}

void Regions::leave_memory() {
  for (auto& [id, region] : by_id_)
    if (auto alive = region.lock()) alive->leave_memory();
  for (auto& [key, region] : external_)
    if (auto alive = region.lock()) alive->leave_memory();
}

RegionShape Regions::global_shape() const { return global_region_shape(nic_buffers_); }

uint32_t Regions::free_global_buffers() const {
  auto found = by_id_.find(kGlobalRegion);
  auto region = found == by_id_.end() ? nullptr : found->second.lock();
  return region ? region->free_buffers() : nic_buffers_;
}

std::shared_ptr<Region> Regions::find_external(const External& memory) const {
  auto found = external_.find(memory);
  return found == external_.end() ? nullptr : found->second.lock();
}

Result<std::shared_ptr<Region>> Regions::make_external(const External& memory, const RegionShape& shape) {
  auto region = make(shape);
  if (region) external_[memory] = *region;
  return region;
}

}  // namespace unetmap::daemon
