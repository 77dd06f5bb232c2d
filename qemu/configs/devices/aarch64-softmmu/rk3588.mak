# SPDX-License-Identifier: GPL-2.0-or-later
#
# Just the rk3588 machine and the virtio devices that go onto its transports:
#   configure --without-default-devices --with-devices-aarch64=rk3588

CONFIG_RK3588=y
CONFIG_VIRTIO_9P=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_SERIAL=y
