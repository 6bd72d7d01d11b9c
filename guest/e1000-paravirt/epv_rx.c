// SPDX-License-Identifier: GPL-2.0
/*
 * Receive. With the block a packet brings the virtio-net header that it had on its way: large segments come whole, over
 * several descriptors, and checksums that nobody has made yet need not be made.
 */
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/virtio_net.h>

#include "e1000_paravirt.h"

/*
 * Buffers are cut from blocks of several pages, one behind the other, and lie in the ring in that order: what fills several of
 * them becomes few fragments of a packet, and a block is fetched from the kernel once for all that are in it.
 */
static bool epv_rx_block(struct epv *epv)
{
	unsigned int order = EPV_RX_ORDER;

	if (epv->rx_block)
		put_page(epv->rx_block);
	epv->rx_block = dev_alloc_pages(order);
	if (!epv->rx_block) {
		order = 0;
		epv->rx_block = dev_alloc_pages(order);
	}
	epv->rx_block_bytes = PAGE_SIZE << order;
	epv->rx_block_used = 0;
	return epv->rx_block;
}

static bool epv_rx_new(struct epv *epv, struct epv_rx_buffer *buffer)
{
	if ((!epv->rx_block || epv->rx_block_used + epv->rx_bytes > epv->rx_block_bytes) && !epv_rx_block(epv))
		return false;
	buffer->dma = dma_map_page(&epv->pdev->dev, epv->rx_block, epv->rx_block_used, epv->rx_bytes,
				   DMA_FROM_DEVICE);
	if (dma_mapping_error(&epv->pdev->dev, buffer->dma))
		return false;
	get_page(epv->rx_block);
	buffer->page = epv->rx_block;
	buffer->offset = epv->rx_block_used;
	epv->rx_block_used += epv->rx_bytes;
	return true;
}

static void epv_rx_unmap(struct epv *epv, struct epv_rx_buffer *buffer)
{
	dma_unmap_page(&epv->pdev->dev, buffer->dma, epv->rx_bytes, DMA_FROM_DEVICE);
}

static void *epv_rx_data(const struct epv_rx_buffer *buffer)
{
	return page_address(buffer->page) + buffer->offset;
}

/* Whether the tail passed a position on its way from `from` to `to`. */
static bool epv_passed(unsigned int at, unsigned int from, unsigned int to)
{
	return at < EPV_RING && epv_distance(from, at) < epv_distance(from, to);
}

static void epv_rx_show(struct epv *epv)
{
	unsigned int before = epv->rx_given;

	if (epv->rx_fill == before)
		return;
	epv->rx_given = epv->rx_fill;
	if (epv->shared) {
		virt_wmb();
		epv_put(&epv->csb->guest_rdt, epv->rx_fill);
		virt_mb();
		if (!epv_get(&epv->csb->host_need_rxkick) &&
		    !epv_passed(epv_get(&epv->csb->host_rxkick_at), before, epv->rx_fill))
			return;
	} else {
		dma_wmb();
	}
	epv->stat[EPV_STAT_RX_KICKS]++;
	epv_write(epv, EPV_RDT, epv->rx_fill);
}

/* Gives the device all buffers but one. False: there is no memory for all of them. */
bool epv_rx_fill(struct epv *epv)
{
	bool whole = true;

	while (epv_after(epv->rx_fill) != epv->rx_next) {
		struct epv_rx_buffer *buffer = &epv->rx_buffer[epv->rx_fill];
		struct epv_desc *desc = &epv->rx[epv->rx_fill];

		if (!buffer->page && !epv_rx_new(epv, buffer)) {
			epv->stat[EPV_STAT_RX_NO_MEMORY]++;
			whole = false;
			break;
		}
		desc->addr = cpu_to_le64(buffer->dma);
		desc->lower = 0;
		desc->upper = 0;
		epv->rx_fill = epv_after(epv->rx_fill);
	}
	epv_rx_show(epv);
	return whole;
}

/* Almost nothing is left to receive into. */
bool epv_rx_low(const struct epv *epv)
{
	return epv_distance(READ_ONCE(epv->rx_next), READ_ONCE(epv->rx_fill)) < EPV_RING / 8;
}

bool epv_rx_waits(const struct epv *epv)
{
	return le32_to_cpu(READ_ONCE(epv->rx[epv->rx_next].upper)) & EPV_RXD_DD;
}

/* A short packet alone in its buffer is copied: the buffer goes back as it is. */
static struct sk_buff *epv_rx_copy(struct epv *epv, struct epv_rx_buffer *buffer, unsigned int len)
{
	struct sk_buff *skb = napi_alloc_skb(&epv->napi, len);

	if (!skb)
		return NULL;
	dma_sync_single_for_cpu(&epv->pdev->dev, buffer->dma, len, DMA_FROM_DEVICE);
	skb_put_data(skb, epv_rx_data(buffer), len);
	dma_sync_single_for_device(&epv->pdev->dev, buffer->dma, len, DMA_FROM_DEVICE);
	epv->stat[EPV_STAT_RX_COPIED]++;
	return skb;
}

/* The buffer becomes a part of the packet in hand, or of a new one. NULL: neither, and it stays in the ring. */
static struct sk_buff *epv_rx_take(struct epv *epv, struct epv_rx_buffer *buffer, unsigned int len)
{
	struct sk_buff *skb = epv->rx_skb;
	unsigned int head, last;

	if (!skb) {
		skb = napi_alloc_skb(&epv->napi, EPV_RX_HEAD);
		if (!skb)
			return NULL;
		epv_rx_unmap(epv, buffer);
		/* Headers are copied, for the stack wants them in front; data stays where it is. */
		head = eth_get_headlen(epv->dev, epv_rx_data(buffer), min_t(unsigned int, len, EPV_RX_HEAD));
		skb_put_data(skb, epv_rx_data(buffer), head);
		if (head == len) { /* not worth a fragment */
			put_page(buffer->page);
			buffer->page = NULL;
			return skb;
		}
		skb_add_rx_frag(skb, 0, buffer->page, buffer->offset + head, len - head, epv->rx_bytes);
		buffer->page = NULL;
		return skb;
	}
	last = skb_shinfo(skb)->nr_frags;
	if (last > 0 && skb_can_coalesce(skb, last, buffer->page, buffer->offset)) {
		epv_rx_unmap(epv, buffer);
		skb_coalesce_rx_frag(skb, last - 1, len, epv->rx_bytes);
		put_page(buffer->page);
	} else {
		if (last == MAX_SKB_FRAGS)
			return NULL;
		epv_rx_unmap(epv, buffer);
		skb_add_rx_frag(skb, last, buffer->page, buffer->offset, len, epv->rx_bytes);
	}
	buffer->page = NULL;
	return skb;
}

/* The header that came with the packet whose first descriptor this was; else what the descriptor says. */
static bool epv_rx_offload(struct epv *epv, struct sk_buff *skb, unsigned int first, u32 upper)
{
	if (epv->vnet) {
		struct virtio_net_hdr hdr;

		memcpy(&hdr, epv->vnet + first * EPV_VNET_BYTES, EPV_VNET_BYTES);
		if (hdr.flags & VIRTIO_NET_HDR_F_DATA_VALID)
			skb->ip_summed = CHECKSUM_UNNECESSARY;
		if (hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE)
			epv->stat[EPV_STAT_RX_LARGE]++;
		return !virtio_net_hdr_to_skb(skb, &hdr, true);
	}
	if ((epv->dev->features & NETIF_F_RXCSUM) && !(upper & EPV_RXD_IXSM) && (upper & EPV_RXD_TCPCS))
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	return true;
}

static void epv_rx_drop(struct epv *epv)
{
	dev_kfree_skb_any(epv->rx_skb);
	epv->rx_skb = NULL;
}

int epv_rx_poll(struct epv *epv, int budget)
{
	struct net_device *dev = epv->dev;
	unsigned int first = epv->rx_next;
	bool skip = false;
	int done = 0;

	while (done < budget) {
		struct epv_rx_buffer *buffer = &epv->rx_buffer[epv->rx_next];
		struct epv_desc *desc = &epv->rx[epv->rx_next];
		u32 upper = le32_to_cpu(READ_ONCE(desc->upper));
		unsigned int len;
		struct sk_buff *skb = NULL;
		bool last = upper & EPV_RXD_EOP;

		if (!(upper & EPV_RXD_DD))
			break;
		dma_rmb();
		len = min(le32_to_cpu(desc->lower) & 0xffff, epv->rx_bytes);
		if (!epv->rx_skb && !skip)
			first = epv->rx_next;
		if (!skip && !epv->rx_skb && last && len <= EPV_COPYBREAK)
			skb = epv_rx_copy(epv, buffer, len);
		if (!skip && !skb)
			skb = epv_rx_take(epv, buffer, len);
		epv->rx_next = epv_after(epv->rx_next);
		if (!skb && !skip) {
			epv->stat[EPV_STAT_RX_NO_MEMORY]++;
			epv_rx_drop(epv);
		}
		epv->rx_skb = skb;
		skip = !last && !skb;
		if (!last)
			continue;
		epv->rx_skb = NULL;
		done++;
		if (!skb) {
			dev->stats.rx_dropped++;
			continue;
		}
		if (skb->len < ETH_HLEN || (upper >> 8 & EPV_RXD_ERRORS & ~0x60) ||
		    !epv_rx_offload(epv, skb, first, upper)) {
			epv->stat[EPV_STAT_RX_BAD]++;
			dev->stats.rx_errors++;
			dev_kfree_skb_any(skb);
			continue;
		}
		dev->stats.rx_packets++;
		dev->stats.rx_bytes += skb->len;
		skb->protocol = eth_type_trans(skb, dev);
		napi_gro_receive(&epv->napi, skb);
		/* Buffers go back in lots: each time costs a barrier. */
		if (epv_distance(epv->rx_fill, epv->rx_next) > EPV_RING / 8)
			epv_rx_fill(epv);
	}
	if (!epv_rx_fill(epv) && epv_rx_low(epv))
		return budget; /* try again soon */
	return done;
}

void epv_rx_empty(struct epv *epv)
{
	unsigned int i;

	for (i = 0; i < EPV_RING; i++) {
		struct epv_rx_buffer *buffer = &epv->rx_buffer[i];

		if (!buffer->page)
			continue;
		epv_rx_unmap(epv, buffer);
		put_page(buffer->page);
		buffer->page = NULL;
	}
	if (epv->rx_block)
		put_page(epv->rx_block);
	epv->rx_block = NULL;
	epv_rx_drop(epv);
	epv->rx_next = epv->rx_fill = epv->rx_given = 0;
}
