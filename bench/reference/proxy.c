/*
 * proxy - a minimal forward-and-learn proxy: what the job costs when little else is done.
 *
 * A solicitation on the outer link for an address that is known on the inner link is answered
 * at once; for an unknown one, a solicitation goes out on the inner link, and the answer to it
 * makes the address known and is passed on. One thread, epoll, recvmmsg and sendmmsg on packet
 * sockets, one open-addressing hash table.
 *
 * --routes none|ack|batch   also install a host route for each learned address: one message and
 *                           its acknowledgement at a time, or all those of one turn of the loop
 *                           in one unacknowledged send
 * --limit R                 at most R inner solicitations a second for unknown addresses
 * --pending P               at most P unresolved addresses are remembered
 */
#include "frame.h"
#include "rtnl.h"
#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>

enum { BATCH = 64, FRAME = 256 };
enum { EMPTY, PENDING, KNOWN, DELETED };

struct entry {
	uint64_t iid, at;		/* at: when it was asked for, or learned */
	uint8_t state, mac[6], src[16];	/* who asked */
};

struct side {
	int fd;
	const char *dev;
	uint32_t ifindex;
	uint8_t mac[6], addr[16];
	unsigned n;
	struct mmsghdr rx[BATCH], tx[BATCH];
	struct iovec rx_iov[BATCH], tx_iov[BATCH];
	uint8_t in[BATCH][FRAME], out[BATCH][FRAME];
};

static struct side outer, inner;
static uint8_t prefix[8];
static struct entry *table;
static uint64_t mask, used;
static uint64_t *pending;			/* ring of unresolved identifiers */
static unsigned pend_cap = 4096, pend_at;
static double limit, tokens;
static uint64_t token_time;
static enum { R_NONE, R_ACK, R_BATCH } routes;
static int nl = -1;
static uint8_t nlbuf[BATCH * 128];
static unsigned nllen;
static uint32_t nlseq;

static volatile sig_atomic_t stop;

static void on_signal(int s)
{
	(void)s;
	stop = 1;
}

static inline uint64_t hash(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	return x;
}

static struct entry *find(uint64_t iid)
{
	for (uint64_t i = hash(iid) & mask;; i = (i + 1) & mask) {
		if (table[i].state == EMPTY)
			return NULL;
		if (table[i].iid == iid && table[i].state != DELETED)
			return &table[i];
	}
}

static struct entry *slot(uint64_t iid)
{
	for (uint64_t i = hash(iid) & mask;; i = (i + 1) & mask)
		if (table[i].state == EMPTY || table[i].state == DELETED) {
			used += table[i].state == EMPTY;
			table[i].iid = iid;
			return &table[i];
		}
}

/* Doubles the table, or only clears deleted entries out of it. */
static void rehash(void)
{
	struct entry *old = table;
	uint64_t n = mask + 1, live = 0;

	for (uint64_t i = 0; i < n; i++)
		live += old[i].state == PENDING || old[i].state == KNOWN;
	mask = (live * 4 > n ? 2 * n : n) - 1;
	table = calloc(mask + 1, sizeof *table);
	if (!table)
		die("memory");
	used = 0;
	for (uint64_t i = 0; i < n; i++)
		if (old[i].state == PENDING || old[i].state == KNOWN) {
			struct entry *e = slot(old[i].iid);

			*e = old[i];
		}
	free(old);
}

static void side_open(struct side *s, int type)
{
	struct packet_mreq mr = { .mr_type = PACKET_MR_ALLMULTI };
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IPV6) };
	int one = 1;

	s->ifindex = if_nametoindex(s->dev);
	dev_mac(s->dev, s->mac);
	s->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		die("packet socket");
	attach_nd_filter(s->fd, type, type);
	setsockopt(s->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
	setsockopt(s->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
	ll.sll_ifindex = mr.mr_ifindex = (int)s->ifindex;
	if (bind(s->fd, (struct sockaddr *)&ll, sizeof ll) < 0 ||
	    (type == ICMP6_NS &&
	     setsockopt(s->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mr, sizeof mr) < 0))
		die("open %s", s->dev);
	for (int i = 0; i < BATCH; i++) {
		s->rx_iov[i] = (struct iovec){ s->in[i], FRAME };
		s->rx[i].msg_hdr.msg_iov = &s->rx_iov[i];
		s->rx[i].msg_hdr.msg_iovlen = 1;
		s->tx_iov[i] = (struct iovec){ s->out[i], ND_FULL_LEN };
		s->tx[i].msg_hdr.msg_iov = &s->tx_iov[i];
		s->tx[i].msg_hdr.msg_iovlen = 1;
	}
}

static void flush(struct side *s)
{
	for (unsigned done = 0; done < s->n;) {
		int r = sendmmsg(s->fd, s->tx + done, s->n - done, 0);

		done += r > 0 ? (unsigned)r : 1;
	}
	s->n = 0;
}

static void put(struct side *s, uint8_t type, const uint8_t *dmac, const uint8_t *dst,
		uint64_t iid)
{
	uint64_t be = __builtin_bswap64(iid);
	uint8_t *f;
	uint16_t csum;

	if (s->n == BATCH)
		flush(s);
	f = s->out[s->n++];
	memcpy(f, dmac, 6);
	memcpy(f + 6, s->mac, 6);
	f[12] = 0x86;
	f[13] = 0xdd;
	memset(f + OFF_IP6, 0, 8);
	f[OFF_IP6] = 0x60;
	f[OFF_IP6_PLEN + 1] = 32;
	f[OFF_IP6_NH] = 58;
	f[OFF_IP6_HLIM] = 255;
	memcpy(f + OFF_IP6_SRC, s->addr, 16);
	memcpy(f + OFF_IP6_DST, dst, 16);
	memset(f + OFF_ICMP, 0, 8);
	f[OFF_ICMP] = type;
	if (type == ICMP6_NA)
		f[OFF_ND_FLAGS] = NA_ROUTER | NA_SOLICITED | NA_OVERRIDE;
	memcpy(f + OFF_ND_TARGET, prefix, 8);
	memcpy(f + OFF_ND_TARGET + 8, &be, 8);
	f[OFF_ND_OPT] = type == ICMP6_NA ? OPT_TLLA : OPT_SLLA;
	f[OFF_ND_OPT + 1] = 1;
	memcpy(f + OFF_ND_OPT + 2, s->mac, 6);
	csum = icmp6_csum(f, 32);
	memcpy(f + OFF_ICMP_CSUM, &csum, 2);
}

static bool valid(const uint8_t *f, unsigned len, uint8_t type)
{
	unsigned plen = (unsigned)f[OFF_IP6_PLEN] << 8 | f[OFF_IP6_PLEN + 1];

	return len >= ND_BARE_LEN && plen >= 24 && !(plen & 7) && OFF_ICMP + plen <= len &&
	       f[OFF_IP6_HLIM] == 255 && f[OFF_ICMP] == type && !f[OFF_ICMP_CODE] &&
	       !memcmp(f + OFF_ND_TARGET, prefix, 8) && !icmp6_csum(f, (uint16_t)plen);
}

static uint64_t target(const uint8_t *f)
{
	uint64_t be;

	memcpy(&be, f + OFF_ND_TARGET + 8, 8);
	return __builtin_bswap64(be);
}

static void solicited(const uint8_t *f, unsigned len, uint64_t now)
{
	uint8_t mac[6] = { 0x33, 0x33, 0xff }, dst[16] = { 0xff, 2, [11] = 1, [12] = 0xff };
	struct entry *e;
	uint64_t iid;

	if (!valid(f, len, ICMP6_NS))
		return;
	iid = target(f);
	e = find(iid);
	if (e && e->state == KNOWN) {
		put(&outer, ICMP6_NA, f + OFF_ETH_SRC, f + OFF_IP6_SRC, iid);
		return;
	}
	if (limit > 0) {
		tokens += (double)(now - token_time) * limit / 1e9;
		token_time = now;
		if (tokens > limit / 10 + 1)
			tokens = limit / 10 + 1;
		if (tokens < 1)
			return;
		tokens -= 1;
	}
	if (!e) {
		struct entry *victim;

		if (used * 4 > (mask + 1) * 3)
			rehash();
		victim = pending[pend_at] ? find(pending[pend_at]) : NULL;
		if (victim && victim->state == PENDING)
			victim->state = DELETED;
		pending[pend_at] = iid;
		pend_at = (pend_at + 1) % pend_cap;
		e = slot(iid);
		e->state = PENDING;
	}
	e->at = now;
	memcpy(e->mac, f + OFF_ETH_SRC, 6);
	memcpy(e->src, f + OFF_IP6_SRC, 16);
	memcpy(mac + 3, f + OFF_ND_TARGET + 13, 3);
	memcpy(dst + 13, f + OFF_ND_TARGET + 13, 3);
	put(&inner, ICMP6_NS, mac, dst, iid);
}

static void route_flush(void)
{
	if (nllen && send(nl, nlbuf, nllen, 0) < 0)
		perror("netlink");
	nllen = 0;
}

static void learned(const uint8_t *a)
{
	uint8_t reply[1024];

	if (routes == R_NONE)
		return;
	if (nllen + 128 > sizeof nlbuf)
		route_flush();
	nllen += rtnl_route(nlbuf + nllen, RTM_NEWROUTE,
			    NLM_F_CREATE | NLM_F_REPLACE | (routes == R_ACK ? NLM_F_ACK : 0),
			    ++nlseq, a, inner.ifindex);
	if (routes == R_ACK) {
		route_flush();
		recv(nl, reply, sizeof reply, 0);
	}
}

static void advertised(const uint8_t *f, unsigned len, uint64_t now)
{
	struct entry *e;
	uint64_t iid;

	if (!valid(f, len, ICMP6_NA))
		return;
	iid = target(f);
	e = find(iid);
	if (!e || e->state != PENDING)
		return;
	e->state = KNOWN;
	e->at = now;
	put(&outer, ICMP6_NA, e->mac, e->src, iid);
	learned(f + OFF_ND_TARGET);
}

int main(int argc, char **argv)
{
	static const struct option o[] = {
		{ "outer", 1, 0, 'o' }, { "inner", 1, 0, 'i' }, { "outer-addr", 1, 0, 'a' },
		{ "inner-addr", 1, 0, 'b' }, { "prefix", 1, 0, 'p' }, { "routes", 1, 0, 'r' },
		{ "limit", 1, 0, 'l' }, { "pending", 1, 0, 'q' }, { 0 }
	};
	struct sigaction sa = { .sa_handler = on_signal };
	struct epoll_event ev[2] = { { .events = EPOLLIN, .data.ptr = &outer },
				     { .events = EPOLLIN, .data.ptr = &inner } };
	int ep = epoll_create1(0);
	uint8_t p[16];

	outer.dev = "wan";
	inner.dev = "lan";
	for (int c; (c = getopt_long(argc, argv, "", o, NULL)) != -1;) {
		switch (c) {
		case 'o': outer.dev = optarg; break;
		case 'i': inner.dev = optarg; break;
		case 'a': parse_ip6(optarg, outer.addr); break;
		case 'b': parse_ip6(optarg, inner.addr); break;
		case 'p': parse_ip6(optarg, p); memcpy(prefix, p, 8); break;
		case 'r': routes = *optarg == 'a' ? R_ACK : *optarg == 'b' ? R_BATCH : R_NONE; break;
		case 'l': limit = atof(optarg); break;
		case 'q': pend_cap = (unsigned)atoi(optarg); break;
		default: return 2;
		}
	}
	sigaction(SIGTERM, &sa, NULL);
	mask = 1023;
	table = calloc(mask + 1, sizeof *table);
	pending = calloc(pend_cap, sizeof *pending);
	if (!table || !pending)
		die("memory");
	side_open(&outer, ICMP6_NS);
	side_open(&inner, ICMP6_NA);
	if (routes != R_NONE)
		nl = rtnl_open();
	epoll_ctl(ep, EPOLL_CTL_ADD, outer.fd, &ev[0]);
	epoll_ctl(ep, EPOLL_CTL_ADD, inner.fd, &ev[1]);
	while (!stop) {
		int k = epoll_wait(ep, ev, 2, -1);
		uint64_t now = now_ns();

		for (int j = 0; j < k; j++) {
			struct side *s = ev[j].data.ptr;
			int n = recvmmsg(s->fd, s->rx, BATCH, MSG_DONTWAIT, NULL);

			for (int i = 0; i < n; i++) {
				if (s == &outer)
					solicited(s->in[i], s->rx[i].msg_len, now);
				else
					advertised(s->in[i], s->rx[i].msg_len, now);
			}
		}
		if (outer.n)
			flush(&outer);
		if (inner.n)
			flush(&inner);
		if (nllen)
			route_flush();
	}
	return 0;
}
