/*
 * responder - a minimal static responder: what answering for a prefix costs when little else is
 * done.
 *
 * Every solicitation for a /64 on one link is answered at once, with the checks that RFC 4861
 * section 7.1.1 asks for and nothing else. One thread, epoll, recvmmsg until the socket is empty
 * and sendmmsg on one packet socket; the answer is written over the question.
 */
#include "frame.h"
#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>

enum { BATCH = 64, FRAME = 256 };

static const char *dev = "wan";
static uint8_t own_mac[6], own_addr[16], prefix[8];
static struct mmsghdr rx[BATCH], tx[BATCH];
static struct iovec rx_iov[BATCH], tx_iov[BATCH];
static uint8_t frames[BATCH][FRAME];

static volatile sig_atomic_t stop;

static void on_signal(int s)
{
	(void)s;
	stop = 1;
}

static bool valid(const uint8_t *f, unsigned len)
{
	unsigned plen = (unsigned)f[OFF_IP6_PLEN] << 8 | f[OFF_IP6_PLEN + 1];

	if (len < ND_BARE_LEN || plen < 24 || (plen & 7) || OFF_ICMP + plen > len ||
	    f[OFF_IP6_HLIM] != 255 || f[OFF_ICMP] != ICMP6_NS || f[OFF_ICMP_CODE] ||
	    f[OFF_ND_TARGET] == 0xff || memcmp(f + OFF_ND_TARGET, prefix, 8) ||
	    icmp6_csum(f, (uint16_t)plen))
		return false;
	for (unsigned o = 24; o < plen; o += f[OFF_ICMP + o + 1] * 8u)
		if (!f[OFF_ICMP + o + 1] || o + f[OFF_ICMP + o + 1] * 8u > plen)
			return false;
	return true;
}

/* Turns a solicitation into its advertisement in place. */
static void turn(uint8_t *f)
{
	static const uint8_t none[16], all_nodes[16] = { 0xff, 2, [15] = 1 };
	uint16_t csum;

	memcpy(f + OFF_ETH_DST, f + OFF_ETH_SRC, 6);
	memcpy(f + OFF_ETH_SRC, own_mac, 6);
	f[OFF_IP6_PLEN] = 0;
	f[OFF_IP6_PLEN + 1] = 32;
	f[OFF_ND_FLAGS] = NA_ROUTER | NA_SOLICITED | NA_OVERRIDE;
	if (!memcmp(f + OFF_IP6_SRC, none, 16)) {	/* duplicate address detection */
		memcpy(f + OFF_IP6_DST, all_nodes, 16);
		memcpy(f, "\x33\x33\0\0\0\1", 6);
		f[OFF_ND_FLAGS] = NA_ROUTER | NA_OVERRIDE;
	} else {
		memcpy(f + OFF_IP6_DST, f + OFF_IP6_SRC, 16);
	}
	memcpy(f + OFF_IP6_SRC, own_addr, 16);
	f[OFF_ICMP] = ICMP6_NA;
	f[OFF_ICMP_CSUM] = f[OFF_ICMP_CSUM + 1] = 0;
	f[OFF_ND_OPT] = OPT_TLLA;
	f[OFF_ND_OPT + 1] = 1;
	memcpy(f + OFF_ND_OPT + 2, own_mac, 6);
	csum = icmp6_csum(f, 32);
	memcpy(f + OFF_ICMP_CSUM, &csum, 2);
}

static int open_link(void)
{
	struct packet_mreq mr = { .mr_type = PACKET_MR_ALLMULTI };
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IPV6) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		die("packet socket");
	attach_nd_filter(fd, ICMP6_NS, ICMP6_NS);
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
	ll.sll_ifindex = mr.mr_ifindex = (int)if_nametoindex(dev);
	if (bind(fd, (struct sockaddr *)&ll, sizeof ll) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mr, sizeof mr) < 0)
		die("open %s", dev);
	for (int i = 0; i < BATCH; i++) {
		rx_iov[i] = (struct iovec){ frames[i], FRAME };
		rx[i].msg_hdr.msg_iov = &rx_iov[i];
		rx[i].msg_hdr.msg_iovlen = 1;
		tx[i].msg_hdr.msg_iov = &tx_iov[i];
		tx[i].msg_hdr.msg_iovlen = 1;
	}
	return fd;
}

static void answer(int fd, int n)
{
	unsigned k = 0;

	for (int i = 0; i < n; i++)
		if (valid(frames[i], rx[i].msg_len)) {
			turn(frames[i]);
			tx_iov[k++] = (struct iovec){ frames[i], ND_FULL_LEN };
		}
	for (unsigned done = 0; done < k;) {
		int r = sendmmsg(fd, tx + done, k - done, 0);

		done += r > 0 ? (unsigned)r : 1;
	}
}

int main(int argc, char **argv)
{
	static const struct option o[] = {
		{ "dev", 1, 0, 'd' }, { "addr", 1, 0, 'a' }, { "prefix", 1, 0, 'p' }, { 0 }
	};
	struct sigaction sa = { .sa_handler = on_signal };
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(0), fd;
	uint8_t p[16];

	for (int c; (c = getopt_long(argc, argv, "", o, NULL)) != -1;) {
		switch (c) {
		case 'd': dev = optarg; break;
		case 'a': parse_ip6(optarg, own_addr); break;
		case 'p': parse_ip6(optarg, p); memcpy(prefix, p, 8); break;
		default: return 2;
		}
	}
	sigaction(SIGTERM, &sa, NULL);
	dev_mac(dev, own_mac);
	fd = open_link();
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	while (!stop) {
		int n;

		if (epoll_wait(ep, &ev, 1, -1) <= 0)
			continue;
		do {
			n = recvmmsg(fd, rx, BATCH, MSG_DONTWAIT, NULL);
			if (n > 0)
				answer(fd, n);
		} while (n == BATCH);
	}
	return 0;
}
