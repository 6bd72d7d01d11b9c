// SPDX-License-Identifier: GPL-2.0
/* Finding the card, its interrupts, and the life of its network interface. */
#include <linux/etherdevice.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/rtnetlink.h>

#include "e1000_paravirt.h"

static bool plain;
module_param(plain, bool, 0444);
MODULE_PARM_DESC(plain, "Also drive cards without the extension, as ordinary ones (default: leave them to e1000)");

#define EPV_WATCHDOG_PERIOD (2 * HZ)

static void epv_schedule(struct epv *epv)
{
	epv->stat[EPV_STAT_INTERRUPTS]++;
	if (epv->shared)
		epv_put(&epv->csb->guest_need_rxkick, 0);
	if (napi_schedule_prep(&epv->napi))
		__napi_schedule(&epv->napi);
}

static irqreturn_t epv_data_interrupt(int irq, void *data)
{
	epv_schedule(data);
	return IRQ_HANDLED;
}

static irqreturn_t epv_control_interrupt(int irq, void *data)
{
	struct epv *epv = data;

	epv->stat[EPV_STAT_INTERRUPTS]++;
	mod_delayed_work(system_wq, &epv->watchdog, 0);
	return IRQ_HANDLED;
}

/* The line: to be asked why, which takes it down. */
static irqreturn_t epv_line_interrupt(int irq, void *data)
{
	struct epv *epv = data;
	u32 causes = epv_read(epv, EPV_ICR);

	if (!causes)
		return IRQ_NONE;
	if (causes & EPV_INT_LSC)
		mod_delayed_work(system_wq, &epv->watchdog, 0);
	if (!epv->shared)
		epv_write(epv, EPV_IMC, ~0u);
	epv_schedule(epv);
	return IRQ_HANDLED;
}

/* Before the poll ends: asks to be told of the next packet, and looks once more. False: there is one. */
static bool epv_rest(struct epv *epv)
{
	if (!epv->shared) {
		epv_write(epv, EPV_IMS, EPV_INT_ALL);
		return true;
	}
	epv_put(&epv->csb->guest_need_rxkick, 1);
	virt_mb();
	if (!epv_rx_waits(epv))
		return true;
	epv_put(&epv->csb->guest_need_rxkick, 0);
	return false;
}

static int epv_poll(struct napi_struct *napi, int budget)
{
	struct epv *epv = container_of(napi, struct epv, napi);
	bool tx_done;
	int done;

	epv->stat[EPV_STAT_POLLS]++;
	tx_done = epv_tx_poll(epv);
	done = epv_rx_poll(epv, budget);
	if (!tx_done)
		return budget;
	if (done < budget && napi_complete_done(napi, done) && !epv_rest(epv))
		napi_schedule(napi);
	return done;
}

/* The link, packets that were sent long ago, and a ring for whose buffers there was no memory. */
static void epv_watchdog(struct work_struct *work)
{
	struct epv *epv = container_of(to_delayed_work(work), struct epv, watchdog);
	bool up = epv_read(epv, EPV_STATUS) & EPV_STATUS_LU;

	if (up != netif_carrier_ok(epv->dev)) {
		if (up)
			netif_carrier_on(epv->dev);
		else
			netif_carrier_off(epv->dev);
	}
	local_bh_disable();
	if (!epv_tx_poll(epv) || epv_rx_waits(epv) || epv_rx_low(epv))
		napi_schedule(&epv->napi);
	local_bh_enable();
	schedule_delayed_work(&epv->watchdog, EPV_WATCHDOG_PERIOD);
}

static int epv_request_irqs(struct epv *epv)
{
	struct pci_dev *pdev = epv->pdev;
	int error;

	if (!epv->msix)
		return request_irq(pci_irq_vector(pdev, 0), epv_line_interrupt, IRQF_SHARED, epv->dev->name, epv);
	error = request_irq(pci_irq_vector(pdev, 0), epv_control_interrupt, 0, epv->dev->name, epv);
	if (error)
		return error;
	error = request_irq(pci_irq_vector(pdev, 1), epv_data_interrupt, 0, epv->dev->name, epv);
	if (error)
		free_irq(pci_irq_vector(pdev, 0), epv);
	return error;
}

static void epv_free_irqs(struct epv *epv)
{
	if (epv->msix)
		free_irq(pci_irq_vector(epv->pdev, 1), epv);
	free_irq(pci_irq_vector(epv->pdev, 0), epv);
}

static void epv_free_memory(struct epv *epv)
{
	struct device *device = &epv->pdev->dev;

	if (epv->tx)
		dma_free_coherent(device, EPV_RING * sizeof(*epv->tx), epv->tx, epv->tx_dma);
	if (epv->rx)
		dma_free_coherent(device, EPV_RING * sizeof(*epv->rx), epv->rx, epv->rx_dma);
	if (epv->csb)
		dma_free_coherent(device, EPV_CSB_BYTES, epv->csb, epv->csb_dma);
	if (epv->vnet)
		dma_free_coherent(device, EPV_RING * EPV_VNET_BYTES, epv->vnet, epv->vnet_dma);
	epv->tx = epv->rx = NULL;
	epv->csb = NULL;
	epv->vnet = NULL;
}

static int epv_allocate_memory(struct epv *epv)
{
	struct device *device = &epv->pdev->dev;

	epv->tx = dma_alloc_coherent(device, EPV_RING * sizeof(*epv->tx), &epv->tx_dma, GFP_KERNEL);
	epv->rx = dma_alloc_coherent(device, EPV_RING * sizeof(*epv->rx), &epv->rx_dma, GFP_KERNEL);
	if (epv->shared) {
		epv->csb = dma_alloc_coherent(device, EPV_CSB_BYTES, &epv->csb_dma, GFP_KERNEL);
		epv->vnet = dma_alloc_coherent(device, EPV_RING * EPV_VNET_BYTES, &epv->vnet_dma, GFP_KERNEL);
	}
	if (epv->tx && epv->rx && (!epv->shared || (epv->csb && epv->vnet)))
		return 0;
	epv_free_memory(epv);
	return -ENOMEM;
}

static int epv_open(struct net_device *dev)
{
	struct epv *epv = netdev_priv(dev);
	int error = epv_allocate_memory(epv);

	if (error)
		return error;
	epv->rx_bytes = epv->shared ? 4096 : 2048;
	epv_reset(epv);
	error = epv_request_irqs(epv);
	if (error) {
		epv_free_memory(epv);
		return error;
	}
	epv_start(epv);
	napi_enable(&epv->napi);
	netif_start_queue(dev);
	epv_write(epv, EPV_IMS, EPV_INT_ALL);
	schedule_delayed_work(&epv->watchdog, 0);
	return 0;
}

static int epv_close(struct net_device *dev)
{
	struct epv *epv = netdev_priv(dev);

	cancel_delayed_work_sync(&epv->watchdog);
	netif_tx_disable(dev);
	napi_disable(&epv->napi);
	epv_reset(epv);
	epv_free_irqs(epv);
	cancel_delayed_work_sync(&epv->watchdog); /* an interrupt may have begun it once more */
	netif_carrier_off(dev);
	epv_tx_empty(epv);
	epv_rx_empty(epv);
	epv_free_memory(epv);
	return 0;
}

static void epv_tx_timeout(struct net_device *dev, unsigned int queue)
{
	struct epv *epv = netdev_priv(dev);

	netdev_warn(dev, "transmit is stuck at %u to %u, the device at %u\n", epv->tx_clean, epv->tx_next,
		    epv_read(epv, EPV_TDH));
	epv_write(epv, EPV_TDT, epv->tx_next);
	napi_schedule(&epv->napi);
}

static int epv_change_mtu(struct net_device *dev, int mtu)
{
	WRITE_ONCE(dev->mtu, mtu);
	if (netif_running(dev))
		epv_set_rx_mode(dev);
	return 0;
}

static int epv_set_mac_address(struct net_device *dev, void *address)
{
	struct epv *epv = netdev_priv(dev);
	int error = eth_mac_addr(dev, address);
	const u8 *mac = dev->dev_addr;

	if (error)
		return error;
	epv_write(epv, EPV_RAL0, mac[0] | mac[1] << 8 | mac[2] << 16 | (u32)mac[3] << 24);
	epv_write(epv, EPV_RAH0, mac[4] | mac[5] << 8 | EPV_RAH_AV);
	return 0;
}

static const struct net_device_ops epv_ops = {
	.ndo_open = epv_open,
	.ndo_stop = epv_close,
	.ndo_start_xmit = epv_start_xmit,
	.ndo_set_rx_mode = epv_set_rx_mode,
	.ndo_set_mac_address = epv_set_mac_address,
	.ndo_change_mtu = epv_change_mtu,
	.ndo_tx_timeout = epv_tx_timeout,
	.ndo_validate_addr = eth_validate_addr,
};

static void epv_read_address(struct epv *epv)
{
	u32 low = epv_read(epv, EPV_RAL0), high = epv_read(epv, EPV_RAH0);
	u8 mac[ETH_ALEN] = { low, low >> 8, low >> 16, low >> 24, high, high >> 8 };

	if (is_valid_ether_addr(mac))
		eth_hw_addr_set(epv->dev, mac);
	else
		eth_hw_addr_random(epv->dev);
}

static int epv_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	bool shared = pdev->subsystem_device == EPV_SUBSYSTEM;
	struct net_device *dev;
	struct epv *epv;
	int error;

	if (!shared && !plain)
		return -ENODEV;
	error = pcim_enable_device(pdev);
	if (error)
		return error;
	error = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (error)
		return error;
	dev = devm_alloc_etherdev(&pdev->dev, sizeof(*epv));
	if (!dev)
		return -ENOMEM;
	SET_NETDEV_DEV(dev, &pdev->dev);
	pci_set_drvdata(pdev, dev);
	epv = netdev_priv(dev);
	epv->dev = dev;
	epv->pdev = pdev;
	epv->shared = shared;
	epv->bar = pcim_iomap(pdev, 0, 0);
	if (!epv->bar)
		return -ENOMEM;
	pci_set_master(pdev);
	error = shared ? pci_alloc_irq_vectors(pdev, 2, 2, PCI_IRQ_MSIX) : -ENOSPC;
	epv->msix = error == 2;
	if (error < 0 && pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_ALL_TYPES & ~(PCI_IRQ_MSI | PCI_IRQ_MSIX)) < 0)
		return -ENOSPC;
	INIT_DELAYED_WORK(&epv->watchdog, epv_watchdog);
	epv_reset(epv);
	epv_read_address(epv);
	dev->netdev_ops = &epv_ops;
	dev->ethtool_ops = &epv_ethtool_ops;
	dev->watchdog_timeo = 5 * HZ;
	dev->min_mtu = ETH_MIN_MTU;
	dev->max_mtu = 9000;
	dev->hw_features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO | NETIF_F_TSO6 | NETIF_F_RXCSUM;
	dev->features = dev->hw_features | NETIF_F_HIGHDMA;
	dev->vlan_features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO | NETIF_F_TSO6;
	netif_napi_add(dev, &epv->napi, epv_poll);
	netif_carrier_off(dev);
	error = register_netdev(dev);
	if (error) {
		pci_free_irq_vectors(pdev);
		return error;
	}
	netdev_info(dev, "%s, %s\n", shared ? "paravirtual" : "plain", epv->msix ? "MSI-X" : "one interrupt line");
	return 0;
}

static void epv_remove(struct pci_dev *pdev)
{
	struct net_device *dev = pci_get_drvdata(pdev);

	unregister_netdev(dev);
	netif_napi_del(&((struct epv *)netdev_priv(dev))->napi);
	pci_free_irq_vectors(pdev);
}

static void epv_shutdown(struct pci_dev *pdev)
{
	struct net_device *dev = pci_get_drvdata(pdev);

	rtnl_lock();
	netif_device_detach(dev);
	if (netif_running(dev))
		dev_close(dev);
	rtnl_unlock();
}

static int __maybe_unused epv_suspend(struct device *device)
{
	struct net_device *dev = dev_get_drvdata(device);

	rtnl_lock();
	netif_device_detach(dev);
	if (netif_running(dev))
		epv_close(dev);
	rtnl_unlock();
	return 0;
}

static int __maybe_unused epv_resume(struct device *device)
{
	struct net_device *dev = dev_get_drvdata(device);
	int error = 0;

	rtnl_lock();
	pci_set_master(to_pci_dev(device));
	if (netif_running(dev))
		error = epv_open(dev);
	if (!error)
		netif_device_attach(dev);
	rtnl_unlock();
	return error;
}

static SIMPLE_DEV_PM_OPS(epv_pm_ops, epv_suspend, epv_resume);

static const struct pci_device_id epv_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_INTEL, 0x100e) },
	{}
};
MODULE_DEVICE_TABLE(pci, epv_ids);

static struct pci_driver epv_driver = {
	.name = EPV_NAME,
	.id_table = epv_ids,
	.probe = epv_probe,
	.remove = epv_remove,
	.shutdown = epv_shutdown,
	.driver.pm = &epv_pm_ops,
};
module_pci_driver(epv_driver);

MODULE_DESCRIPTION("Paravirtual e1000");
MODULE_LICENSE("GPL");
