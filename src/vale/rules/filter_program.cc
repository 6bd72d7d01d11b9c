// SPDX-License-Identifier: BSD-2-Clause
#include "vale/rules/filter_program.hh"

#include <linux/filter.h>

#include <algorithm>

#include "vale/wire_bytes.hh"

namespace unetmap::vale {
namespace {

constexpr uint16_t kLdx_Msh = BPF_LDX | BPF_B | BPF_MSH;

bool valid_alu(const FilterInstruction& in) {
  switch (BPF_OP(in.code)) {
    case BPF_ADD:
    case BPF_SUB:
    case BPF_MUL:
    case BPF_OR:
    case BPF_AND:
    case BPF_XOR:
      return true;
    case BPF_NEG:
      return BPF_SRC(in.code) == BPF_K;
    case BPF_LSH:
    case BPF_RSH:
      return BPF_SRC(in.code) == BPF_X || in.k < 32;
    case BPF_DIV:
    case BPF_MOD:
      return BPF_SRC(in.code) == BPF_X || in.k != 0;
    default:
      return false;
  }
}

// `left`: instructions behind it.
bool valid_jump(const FilterInstruction& in, size_t left) {
  switch (BPF_OP(in.code)) {
    case BPF_JA:
      return BPF_SRC(in.code) == BPF_K && in.k < left;
    case BPF_JEQ:
    case BPF_JGT:
    case BPF_JGE:
    case BPF_JSET:
      return in.jt < left && in.jf < left;
    default:
      return false;
  }
}

bool valid_instruction(const FilterInstruction& in, size_t left) {
  switch (in.code) {
    case BPF_LD | BPF_W | BPF_ABS:
    case BPF_LD | BPF_H | BPF_ABS:
    case BPF_LD | BPF_B | BPF_ABS:
    case BPF_LD | BPF_W | BPF_IND:
    case BPF_LD | BPF_H | BPF_IND:
    case BPF_LD | BPF_B | BPF_IND:
    case BPF_LD | BPF_IMM:
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_IMM:
    case BPF_LDX | BPF_W | BPF_LEN:
    case kLdx_Msh:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA:
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A:
      return true;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
      return in.k < BPF_MEMWORDS;
    default:
      break;
  }
  // Only the bits that these classes have.
  if ((in.code & 0xff00) != 0) return false;
  if (BPF_CLASS(in.code) == BPF_ALU) return valid_alu(in);
  if (BPF_CLASS(in.code) == BPF_JMP) return valid_jump(in, left);
  return false;
}

uint32_t load(const uint8_t* at, uint32_t bytes) {
  return bytes == 4 ? load_be32(at) : bytes == 2 ? load_be16(at) : *at;
}

uint32_t size_of(uint16_t code) { return BPF_SIZE(code) == BPF_W ? 4 : BPF_SIZE(code) == BPF_H ? 2 : 1; }

uint32_t shifted(uint32_t a, uint32_t by, bool left) { return by > 31 ? 0 : left ? a << by : a >> by; }

// False where it divides by zero: no frame is taken that way.
bool compute(uint16_t code, uint32_t& a, uint32_t b) {
  switch (BPF_OP(code)) {
    case BPF_ADD:
      a += b;
      break;
    case BPF_SUB:
      a -= b;
      break;
    case BPF_MUL:
      a *= b;
      break;
    case BPF_OR:
      a |= b;
      break;
    case BPF_AND:
      a &= b;
      break;
    case BPF_XOR:
      a ^= b;
      break;
    case BPF_LSH:
      a = shifted(a, b, true);
      break;
    case BPF_RSH:
      a = shifted(a, b, false);
      break;
    case BPF_NEG:
      a = 0 - a;
      break;
    case BPF_DIV:
    case BPF_MOD:
      if (b == 0) return false;
      a = BPF_OP(code) == BPF_DIV ? a / b : a % b;
      break;
    default:
      break;
  }
  return true;
}

bool holds(uint16_t code, uint32_t a, uint32_t b) {
  switch (BPF_OP(code)) {
    case BPF_JEQ:
      return a == b;
    case BPF_JGT:
      return a > b;
    case BPF_JGE:
      return a >= b;
    default:
      return (a & b) != 0;
  }
}

}  // namespace

void LookedAt::note(uint32_t at, uint32_t bytes) {
  if (at + bytes > kBytes) {
    more = true;
    return;
  }
  for (uint32_t i = at; i < at + bytes; i++) reinterpret_cast<uint8_t*>(mask)[i] = 0xff;
  end = std::max(end, at + bytes);
}

bool FilterProgram::valid(std::span<const FilterInstruction> program) {
  if (program.empty() || program.size() > kMost) return false;
  for (size_t i = 0; i < program.size(); i++)
    if (!valid_instruction(program[i], program.size() - 1 - i)) return false;
  return BPF_CLASS(program.back().code) == BPF_RET;
}

bool FilterProgram::passes(std::span<const uint8_t> start, uint32_t bytes, LookedAt& looked) const {
  uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {};
  for (const FilterInstruction* in = program_.data();; in++) {
    uint64_t at = in->k;
    switch (in->code) {
      case BPF_LD | BPF_W | BPF_IND:
      case BPF_LD | BPF_H | BPF_IND:
      case BPF_LD | BPF_B | BPF_IND:
        at += x;
        [[fallthrough]];
      case BPF_LD | BPF_W | BPF_ABS:
      case BPF_LD | BPF_H | BPF_ABS:
      case BPF_LD | BPF_B | BPF_ABS: {
        const uint32_t size = size_of(in->code);
        if (at + size > start.size()) {
          looked.more = true;
          return false;
        }
        looked.note(uint32_t(at), size);
        a = load(start.data() + at, size);
        continue;
      }
      case kLdx_Msh:
        if (at >= start.size()) {
          looked.more = true;
          return false;
        }
        looked.note(uint32_t(at), 1);
        x = (start[at] & 15u) * 4;
        continue;
      case BPF_LD | BPF_IMM:
        a = in->k;
        continue;
      case BPF_LDX | BPF_IMM:
        x = in->k;
        continue;
      case BPF_LD | BPF_MEM:
        a = memory[in->k];
        continue;
      case BPF_LDX | BPF_MEM:
        x = memory[in->k];
        continue;
      case BPF_ST:
        memory[in->k] = a;
        continue;
      case BPF_STX:
        memory[in->k] = x;
        continue;
      case BPF_LD | BPF_W | BPF_LEN:
        looked.more = true;
        a = bytes;
        continue;
      case BPF_LDX | BPF_W | BPF_LEN:
        looked.more = true;
        x = bytes;
        continue;
      case BPF_MISC | BPF_TAX:
        x = a;
        continue;
      case BPF_MISC | BPF_TXA:
        a = x;
        continue;
      case BPF_RET | BPF_K:
        return in->k != 0;
      case BPF_RET | BPF_A:
        return a != 0;
      case BPF_JMP | BPF_JA:
        in += in->k;
        continue;
      default:
        break;
    }
    const uint32_t b = BPF_SRC(in->code) == BPF_X ? x : in->k;
    if (BPF_CLASS(in->code) == BPF_JMP)
      in += holds(in->code, a, b) ? in->jt : in->jf;
    else if (!compute(in->code, a, b))
      return false;
  }
}

}  // namespace unetmap::vale
