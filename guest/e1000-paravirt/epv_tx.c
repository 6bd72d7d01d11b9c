// SPDX-License-Identifier: GPL-2.0
/*
 * Transmit. With the block a packet costs no register access while the device is awake: the tail is a word of memory,
 * and a kick is only needed when the device has said that it sleeps. Descriptors are taken back by looking how far the
 * device is, here and in the poll; an interrupt is asked for only when the ring is full.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <net/ip6_checksum.h>

#include "e1000_paravirt.h"

static void epv_tx_release(struct epv *epv, struct epv_tx_buffer *buffer, bool sent)
{
	if (buffer->len) {
		if (buffer->page)
			dma_unmap_page(&epv->pdev->dev, buffer->dma, buffer->len, DMA_TO_DEVICE);
		else
			dma_unmap_single(&epv->pdev->dev, buffer->dma, buffer->len, DMA_TO_DEVICE);
		buffer->len = 0;
	}
	if (buffer->skb) {
		if (sent)
			dev_consume_skb_any(buffer->skb);
		else
			dev_kfree_skb_any(buffer->skb);
		buffer->skb = NULL;
	}
}

/* Frees what the device has done. Under the lock of the queue. */
void epv_tx_reclaim(struct epv *epv)
{
	unsigned int head;

	if (epv->shared) {
		head = epv_get(&epv->csb->host_tdh) & (EPV_RING - 1);
		if (epv_distance(epv->tx_clean, head) > epv_distance(epv->tx_clean, epv->tx_next))
			return;
		virt_rmb();
		for (; epv->tx_clean != head; epv->tx_clean = epv_after(epv->tx_clean))
			epv_tx_release(epv, &epv->tx_buffer[epv->tx_clean], true);
		return;
	}
	/* Only last descriptors of packets are marked by the device. */
	for (head = epv->tx_clean; head != epv->tx_next; head = epv_after(head)) {
		if (!epv->tx_buffer[head].skb)
			continue;
		if (!(le32_to_cpu(READ_ONCE(epv->tx[head].upper)) & EPV_TXD_DD))
			break;
		for (;; epv->tx_clean = epv_after(epv->tx_clean)) {
			epv_tx_release(epv, &epv->tx_buffer[epv->tx_clean], true);
			if (epv->tx_clean == head)
				break;
		}
		epv->tx_clean = epv_after(head);
	}
}

/* After the queue was stopped: asks for an interrupt when three quarters of the ring are done, and looks once more. */
static void epv_tx_ask(struct epv *epv)
{
	if (epv->shared) {
		unsigned int used = epv_distance(epv->tx_clean, epv->tx_next);

		epv_put(&epv->csb->guest_txkick_at, (epv->tx_clean + used * 3 / 4) & (EPV_RING - 1));
	}
	virt_mb();
	epv_tx_reclaim(epv);
	if (epv_tx_free(epv) < 2 * EPV_TX_SLACK)
		return;
	if (epv->shared)
		epv_put(&epv->csb->guest_txkick_at, EPV_NOWHERE);
	netif_start_queue(epv->dev);
}

/*
 * From the poll: takes back, and wakes the queue when there is room. False: the queue is another processor's just now,
 * which may have stopped it and looked for the last time before what this poll was called for; poll again.
 */
bool epv_tx_poll(struct epv *epv)
{
	struct netdev_queue *queue = netdev_get_tx_queue(epv->dev, 0);

	if (!__netif_tx_trylock(queue))
		return false;
	epv_tx_reclaim(epv);
	if (netif_queue_stopped(epv->dev)) {
		if (epv_tx_free(epv) >= 2 * EPV_TX_SLACK) {
			if (epv->shared)
				epv_put(&epv->csb->guest_txkick_at, EPV_NOWHERE);
			netif_wake_queue(epv->dev);
		} else {
			epv_tx_ask(epv);
		}
	}
	__netif_tx_unlock(queue);
	return true;
}

static void epv_tx_descriptor(struct epv *epv, u64 addr, u32 lower, u32 upper)
{
	struct epv_desc *desc = &epv->tx[epv->tx_next];

	desc->addr = cpu_to_le64(addr);
	desc->lower = cpu_to_le32(lower);
	desc->upper = cpu_to_le32(upper);
	epv->tx_next = epv_after(epv->tx_next);
}

/* Pieces of one mapping, which the first of them owns. */
static void epv_tx_pieces(struct epv *epv, dma_addr_t dma, unsigned int len, bool page, u32 command, u32 options)
{
	struct epv_tx_buffer *buffer = &epv->tx_buffer[epv->tx_next];

	buffer->dma = dma;
	buffer->len = len;
	buffer->page = page;
	while (len) {
		unsigned int part = min_t(unsigned int, len, EPV_TX_BYTES);

		epv_tx_descriptor(epv, dma, part | command, options);
		dma += part;
		len -= part;
	}
}

/* A context, if the packet needs one; what its data descriptors have to say. False: it cannot be sent so. */
static bool epv_tx_offload(struct epv *epv, struct sk_buff *skb, u32 *command, u32 *options)
{
	unsigned int network = skb_network_offset(skb), transport, field, header, last = 0;
	u32 kind = 0, length = 0, mss = 0;

	*command = EPV_TXD_IFCS | EPV_TXD_DEXT | EPV_TXD_DATA;
	*options = 0;
	if (skb->ip_summed != CHECKSUM_PARTIAL)
		return true;
	transport = skb_checksum_start_offset(skb);
	field = transport + skb->csum_offset;
	*options = EPV_POPTS_TXSM;
	header = 0;
	if (skb_is_gso(skb)) {
		if (skb_cow_head(skb, 0))
			return false;
		header = skb_tcp_all_headers(skb);
		mss = skb_shinfo(skb)->gso_size;
		length = skb->len - header;
		kind = EPV_TXD_TSE | EPV_TXD_TCP;
		*command |= EPV_TXD_TSE;
		/* The card wants headers without lengths. */
		if (skb_is_gso_v6(skb)) {
			ipv6_hdr(skb)->payload_len = 0;
			tcp_hdr(skb)->check =
				~csum_ipv6_magic(&ipv6_hdr(skb)->saddr, &ipv6_hdr(skb)->daddr, 0, IPPROTO_TCP, 0);
		} else {
			ip_hdr(skb)->tot_len = 0;
			ip_hdr(skb)->check = 0;
			tcp_hdr(skb)->check =
				~csum_tcpudp_magic(ip_hdr(skb)->saddr, ip_hdr(skb)->daddr, 0, IPPROTO_TCP, 0);
			kind |= EPV_TXD_IP;
			last = transport - 1;
			*options |= EPV_POPTS_IXSM;
		}
		epv->stat[EPV_STAT_TX_TSO]++;
	}
	if (field > 255 || header > 255)
		return skb_is_gso(skb) ? false : !skb_checksum_help(skb) && !(*options = 0);
	epv_tx_descriptor(epv,
			  network | (u64)(network + offsetof(struct iphdr, check)) << 8 | (u64)last << 16 |
				  (u64)transport << 32 | (u64)field << 40,
			  length | EPV_TXD_DEXT | kind, header << 8 | mss << 16);
	return true;
}

/* Maps all of a packet. False: no part of it is mapped. */
static bool epv_tx_map(struct epv *epv, struct sk_buff *skb, u32 command, u32 options)
{
	struct device *device = &epv->pdev->dev;
	unsigned int first = epv->tx_next, i;
	dma_addr_t dma = 0;

	if (skb_headlen(skb)) {
		dma = dma_map_single(device, skb->data, skb_headlen(skb), DMA_TO_DEVICE);
		if (dma_mapping_error(device, dma))
			return false;
		epv_tx_pieces(epv, dma, skb_headlen(skb), false, command, options);
	}
	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		const skb_frag_t *frag = &skb_shinfo(skb)->frags[i];

		dma = skb_frag_dma_map(device, frag, 0, skb_frag_size(frag), DMA_TO_DEVICE);
		if (dma_mapping_error(device, dma)) {
			while (epv->tx_next != first) {
				epv->tx_next = (epv->tx_next - 1) & (EPV_RING - 1);
				epv_tx_release(epv, &epv->tx_buffer[epv->tx_next], false);
			}
			return false;
		}
		epv_tx_pieces(epv, dma, skb_frag_size(frag), true, command, options);
	}
	return true;
}

static void epv_tx_kick(struct epv *epv)
{
	if (epv->shared) {
		/* The tail before the look whether the device sleeps; it does the same the other way around. */
		virt_wmb();
		epv_put(&epv->csb->guest_tdt, epv->tx_next);
		virt_mb();
		if (!epv_get(&epv->csb->host_need_txkick))
			return;
	} else {
		dma_wmb();
	}
	epv->stat[EPV_STAT_TX_KICKS]++;
	epv_write(epv, EPV_TDT, epv->tx_next);
}

netdev_tx_t epv_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct epv *epv = netdev_priv(dev);
	unsigned int first = epv->tx_next, end;
	bool more = netdev_xmit_more();
	u32 command, options;

	if (epv_tx_free(epv) < EPV_RING / 2)
		epv_tx_reclaim(epv);
	if (epv_tx_free(epv) < EPV_TX_SLACK) {
		netif_stop_queue(dev);
		epv_tx_ask(epv);
		if (netif_queue_stopped(dev)) {
			epv_tx_kick(epv);
			return NETDEV_TX_BUSY;
		}
	}
	if (skb_shinfo(skb)->nr_frags > MAX_SKB_FRAGS - 1 && skb_linearize(skb))
		goto drop;
	if (!epv_tx_offload(epv, skb, &command, &options) || !epv_tx_map(epv, skb, command, options))
		goto drop;
	end = (epv->tx_next - 1) & (EPV_RING - 1);
	epv->tx[end].lower |= cpu_to_le32(EPV_TXD_EOP | (epv->shared ? 0 : EPV_TXD_RS));
	epv->tx_buffer[end].skb = skb;
	skb_tx_timestamp(skb);
	dev->stats.tx_packets++;
	dev->stats.tx_bytes += skb->len;
	/* Descriptors come back late when nobody is asked for an interrupt: the socket must not wait for that. */
	if (epv->shared) {
		skb_orphan(skb);
		nf_reset_ct(skb);
	}
	if (epv_tx_free(epv) < EPV_TX_SLACK) {
		epv->stat[EPV_STAT_TX_STOPS]++;
		netif_stop_queue(dev);
		more = false;
		epv_tx_kick(epv);
		epv_tx_ask(epv);
	} else if (!more) {
		epv_tx_kick(epv);
	}
	return NETDEV_TX_OK;

drop:
	epv->tx_next = first;
	dev->stats.tx_dropped++;
	dev_kfree_skb_any(skb);
	if (!more)
		epv_tx_kick(epv);
	return NETDEV_TX_OK;
}

void epv_tx_empty(struct epv *epv)
{
	unsigned int i;

	for (i = 0; i < EPV_RING; i++)
		epv_tx_release(epv, &epv->tx_buffer[i], false);
	epv->tx_next = epv->tx_clean = 0;
}
