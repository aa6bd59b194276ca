/*
 * frame.h - frame layout, checksums, addresses and the socket filter.
 */
#ifndef REFERENCE_FRAME_H
#define REFERENCE_FRAME_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Byte offsets in an Ethernet + IPv6 + ICMPv6 neighbor-discovery frame. */
enum {
	OFF_ETH_DST = 0,
	OFF_ETH_SRC = 6,
	OFF_ETH_TYPE = 12,
	OFF_IP6 = 14,
	OFF_IP6_PLEN = OFF_IP6 + 4,
	OFF_IP6_NH = OFF_IP6 + 6,
	OFF_IP6_HLIM = OFF_IP6 + 7,
	OFF_IP6_SRC = OFF_IP6 + 8,
	OFF_IP6_DST = OFF_IP6 + 24,
	OFF_ICMP = OFF_IP6 + 40,
	OFF_ICMP_CODE = OFF_ICMP + 1,
	OFF_ICMP_CSUM = OFF_ICMP + 2,
	OFF_ND_FLAGS = OFF_ICMP + 4,
	OFF_ND_TARGET = OFF_ICMP + 8,
	OFF_ND_OPT = OFF_ICMP + 24,
	ND_BARE_LEN = OFF_ICMP + 24,	/* frame without options: 78 */
	ND_FULL_LEN = OFF_ICMP + 32,	/* frame with one link-layer address option: 86 */
};

enum { ICMP6_NS = 135, ICMP6_NA = 136, OPT_SLLA = 1, OPT_TLLA = 2 };
enum { NA_ROUTER = 0x80, NA_SOLICITED = 0x40, NA_OVERRIDE = 0x20 };

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", strerror(err));
	exit(1);
}

/* Ones-complement sum of an even number of bytes, not folded. */
static inline uint64_t sum16(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint64_t s = 0;

	for (; len >= 4; len -= 4, b += 4) {
		uint32_t w;

		memcpy(&w, b, 4);
		s += w;
	}
	if (len >= 2) {
		uint16_t h;

		memcpy(&h, b, 2);
		s += h;
	}
	return s;
}

static inline uint16_t fold16(uint64_t s)
{
	s = (s & 0xffffffffu) + (s >> 32);
	s = (s & 0xffffffffu) + (s >> 32);
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

/* ICMPv6 checksum over the pseudo header and `plen` (even) payload bytes at OFF_ICMP. */
static inline uint16_t icmp6_csum(const uint8_t *f, uint16_t plen)
{
	uint64_t s = sum16(f + OFF_IP6_SRC, 32) + htons(plen) + htons(58);

	return (uint16_t)~fold16(s + sum16(f + OFF_ICMP, plen));
}

static inline void parse_ip6(const char *s, uint8_t *a)
{
	if (inet_pton(AF_INET6, s, a) != 1) {
		errno = EINVAL;
		die("IPv6 address %s", s);
	}
}

static inline void dev_mac(const char *dev, uint8_t *mac)
{
	struct ifreq r = { 0 };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", dev);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &r) < 0)
		die("hardware address of %s", dev);
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
	close(fd);
}

/* Classic BPF on an AF_PACKET/SOCK_RAW socket: IPv6, ICMPv6, one of two message types. */
static inline void attach_nd_filter(int fd, int type_a, int type_b)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, OFF_ETH_TYPE),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 0, 6),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, OFF_IP6_NH),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 58, 0, 4),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, OFF_ICMP),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)type_a, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)type_b, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 256),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { sizeof code / sizeof *code, code };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog) < 0)
		die("attach filter");
}

#endif
