/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sizes and offsets that every netmap binary on an LP64 system was compiled with. Included by a C and a C++ file, so
 * that both languages see one layout.
 */
#ifndef UNETMAP_TESTS_ABI_LAYOUT_CHECKS_H_
#define UNETMAP_TESTS_ABI_LAYOUT_CHECKS_H_

#include <stddef.h>

#ifdef __cplusplus
#define ABI_ASSERT(cond) static_assert(cond, #cond)
#else
#define ABI_ASSERT(cond) _Static_assert(cond, #cond)
#endif
#define ABI_SIZE(type, size) ABI_ASSERT(sizeof(struct type) == (size))
#define ABI_OFFSET(type, field, offset) ABI_ASSERT(offsetof(struct type, field) == (offset))

ABI_SIZE(netmap_slot, 16);
ABI_OFFSET(netmap_slot, buf_idx, 0);
ABI_OFFSET(netmap_slot, len, 4);
ABI_OFFSET(netmap_slot, flags, 6);
ABI_OFFSET(netmap_slot, ptr, 8);

ABI_SIZE(netmap_ring, 256);
ABI_OFFSET(netmap_ring, buf_ofs, 0);
ABI_OFFSET(netmap_ring, num_slots, 8);
ABI_OFFSET(netmap_ring, nr_buf_size, 12);
ABI_OFFSET(netmap_ring, ringid, 16);
ABI_OFFSET(netmap_ring, dir, 18);
ABI_OFFSET(netmap_ring, head, 20);
ABI_OFFSET(netmap_ring, cur, 24);
ABI_OFFSET(netmap_ring, tail, 28);
ABI_OFFSET(netmap_ring, flags, 32);
ABI_OFFSET(netmap_ring, ts, 40);
ABI_OFFSET(netmap_ring, offset_mask, 56);
ABI_OFFSET(netmap_ring, buf_align, 64);
ABI_OFFSET(netmap_ring, sem, 128);
ABI_OFFSET(netmap_ring, slot, 256);

ABI_SIZE(netmap_if, 56);
ABI_OFFSET(netmap_if, ni_name, 0);
ABI_OFFSET(netmap_if, ni_version, 16);
ABI_OFFSET(netmap_if, ni_flags, 20);
ABI_OFFSET(netmap_if, ni_tx_rings, 24);
ABI_OFFSET(netmap_if, ni_rx_rings, 28);
ABI_OFFSET(netmap_if, ni_bufs_head, 32);
ABI_OFFSET(netmap_if, ni_host_tx_rings, 36);
ABI_OFFSET(netmap_if, ni_host_rx_rings, 40);
ABI_OFFSET(netmap_if, ni_spare1, 44);
ABI_OFFSET(netmap_if, ring_ofs, 56);

ABI_SIZE(nmreq, 60);
ABI_OFFSET(nmreq, nr_version, 16);
ABI_OFFSET(nmreq, nr_offset, 20);
ABI_OFFSET(nmreq, nr_memsize, 24);
ABI_OFFSET(nmreq, nr_tx_slots, 28);
ABI_OFFSET(nmreq, nr_rx_slots, 32);
ABI_OFFSET(nmreq, nr_tx_rings, 36);
ABI_OFFSET(nmreq, nr_rx_rings, 38);
ABI_OFFSET(nmreq, nr_ringid, 40);
ABI_OFFSET(nmreq, nr_cmd, 42);
ABI_OFFSET(nmreq, nr_arg1, 44);
ABI_OFFSET(nmreq, nr_arg2, 46);
ABI_OFFSET(nmreq, nr_arg3, 48);
ABI_OFFSET(nmreq, nr_flags, 52);
ABI_OFFSET(nmreq, spare2, 56);
ABI_SIZE(nm_ifreq, 272);

ABI_SIZE(nmreq_header, 88);
ABI_OFFSET(nmreq_header, nr_version, 0);
ABI_OFFSET(nmreq_header, nr_reqtype, 2);
ABI_OFFSET(nmreq_header, nr_reserved, 4);
ABI_OFFSET(nmreq_header, nr_name, 8);
ABI_OFFSET(nmreq_header, nr_options, 72);
ABI_OFFSET(nmreq_header, nr_body, 80);

ABI_SIZE(nmreq_option, 24);
ABI_OFFSET(nmreq_option, nro_next, 0);
ABI_OFFSET(nmreq_option, nro_reqtype, 8);
ABI_OFFSET(nmreq_option, nro_status, 12);
ABI_OFFSET(nmreq_option, nro_size, 16);

ABI_SIZE(nmreq_register, 56);
ABI_OFFSET(nmreq_register, nr_memsize, 8);
ABI_OFFSET(nmreq_register, nr_tx_slots, 16);
ABI_OFFSET(nmreq_register, nr_rx_slots, 20);
ABI_OFFSET(nmreq_register, nr_tx_rings, 24);
ABI_OFFSET(nmreq_register, nr_rx_rings, 26);
ABI_OFFSET(nmreq_register, nr_host_tx_rings, 28);
ABI_OFFSET(nmreq_register, nr_host_rx_rings, 30);
ABI_OFFSET(nmreq_register, nr_mem_id, 32);
ABI_OFFSET(nmreq_register, nr_ringid, 34);
ABI_OFFSET(nmreq_register, nr_mode, 36);
ABI_OFFSET(nmreq_register, nr_extra_bufs, 40);
ABI_OFFSET(nmreq_register, nr_flags, 48);

ABI_SIZE(nmreq_port_info_get, 32);
ABI_OFFSET(nmreq_port_info_get, nr_mem_id, 24);
ABI_SIZE(nmreq_vale_attach, 64);
ABI_OFFSET(nmreq_vale_attach, port_index, 56);
ABI_SIZE(nmreq_vale_detach, 8);
ABI_SIZE(nmreq_vale_list, 8);
ABI_OFFSET(nmreq_vale_list, nr_port_idx, 4);
ABI_SIZE(nmreq_port_hdr, 8);
ABI_SIZE(nmreq_vale_newif, 16);
ABI_OFFSET(nmreq_vale_newif, nr_mem_id, 12);
ABI_SIZE(nmreq_vale_polling, 16);
ABI_SIZE(nmreq_pools_info, 64);
ABI_OFFSET(nmreq_pools_info, nr_mem_id, 8);
ABI_OFFSET(nmreq_pools_info, nr_if_pool_offset, 16);
ABI_OFFSET(nmreq_pools_info, nr_ring_pool_offset, 32);
ABI_OFFSET(nmreq_pools_info, nr_buf_pool_offset, 48);
ABI_SIZE(nmreq_sync_kloop_start, 8);
ABI_SIZE(nm_csb_atok, 64);
ABI_OFFSET(nm_csb_atok, sync_flags, 12);
ABI_SIZE(nm_csb_ktoa, 64);
ABI_OFFSET(nm_csb_ktoa, kern_need_kick, 8);
ABI_SIZE(nmreq_opt_sync_kloop_eventfds, 24);
ABI_ASSERT(sizeof(((struct nmreq_opt_sync_kloop_eventfds*)0)->eventfds[0]) == 8);
ABI_SIZE(nmreq_opt_sync_kloop_mode, 32);
ABI_SIZE(nmreq_opt_extmem, 96);
ABI_OFFSET(nmreq_opt_extmem, nro_info, 32);
ABI_SIZE(nmreq_opt_csb, 40);
ABI_SIZE(nmreq_opt_offsets, 56);
ABI_OFFSET(nmreq_opt_offsets, nro_min_gap, 48);

ABI_ASSERT(NIOCGINFO == 0xc03c6991);
ABI_ASSERT(NIOCREGIF == 0xc03c6992);
ABI_ASSERT(NIOCTXSYNC == 0x6994);
ABI_ASSERT(NIOCRXSYNC == 0x6995);
ABI_ASSERT(NIOCCONFIG == 0xc1106996);
ABI_ASSERT(NIOCCTRL == 0xc0586997);

ABI_ASSERT(NETMAP_REQ_REGISTER == 1);
ABI_ASSERT(NETMAP_REQ_VALE_LIST == 5);
ABI_ASSERT(NETMAP_REQ_VALE_DELIF == 9);
ABI_ASSERT(NETMAP_REQ_POOLS_INFO_GET == 12);
ABI_ASSERT(NETMAP_REQ_CSB_ENABLE == 15);
ABI_ASSERT(NETMAP_REQ_OPT_EXTMEM == 1);
ABI_ASSERT(NETMAP_REQ_OPT_CSB == 3);
ABI_ASSERT(NETMAP_REQ_OPT_OFFSETS == 5);
ABI_ASSERT(NETMAP_REQ_OPT_MAX == 6);
ABI_ASSERT(NR_REG_ONE_SW == 8);
ABI_ASSERT(NM_OPEN_RING_CFG == 0x800000);

/* The pcap-like descriptor: programs and libpcap reach into it. */
ABI_OFFSET(nm_desc, fd, 8);
ABI_OFFSET(nm_desc, mem, 16);
ABI_OFFSET(nm_desc, memsize, 24);
ABI_OFFSET(nm_desc, done_mmap, 32);
ABI_OFFSET(nm_desc, nifp, 40);
ABI_OFFSET(nm_desc, first_tx_ring, 48);
ABI_OFFSET(nm_desc, cur_rx_ring, 58);
ABI_OFFSET(nm_desc, req, 60);
ABI_OFFSET(nm_desc, hdr, 120);
ABI_SIZE(nm_pkthdr, 56);
ABI_OFFSET(nm_pkthdr, caplen, 16);
ABI_OFFSET(nm_pkthdr, len, 20);
ABI_OFFSET(nm_desc, some_ring, 176);
ABI_OFFSET(nm_desc, buf_end, 192);
ABI_OFFSET(nm_desc, st, 236);
ABI_OFFSET(nm_desc, msg, 248);
ABI_SIZE(nm_desc, 760);

#endif /* UNETMAP_TESTS_ABI_LAYOUT_CHECKS_H_ */
