/*
 * rtnl.h - building RTM_NEWROUTE messages into one buffer.
 */
#ifndef REFERENCE_RTNL_H
#define REFERENCE_RTNL_H

#include "frame.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

static inline int rtnl_open(void)
{
	struct sockaddr_nl me = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), big = 8 << 20;

	if (fd < 0 || bind(fd, (struct sockaddr *)&me, sizeof me) < 0)
		die("netlink");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof big);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big);
	return fd;
}

static inline void rtnl_attr(struct nlmsghdr *h, uint16_t type, const void *data, uint16_t len)
{
	struct rtattr *a = (void *)((char *)h + NLMSG_ALIGN(h->nlmsg_len));

	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	h->nlmsg_len = NLMSG_ALIGN(h->nlmsg_len) + RTA_ALIGN(a->rta_len);
}

/* Appends a host route to `buf`; returns the message's length. */
static inline unsigned rtnl_route(void *buf, uint16_t type, uint16_t flags, uint32_t seq,
				  const uint8_t *dst, uint32_t oif)
{
	struct nlmsghdr *h = buf;
	struct rtmsg *r = NLMSG_DATA(h);

	memset(buf, 0, NLMSG_SPACE(sizeof *r));
	h->nlmsg_len = NLMSG_LENGTH(sizeof *r);
	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = seq;
	r->rtm_family = AF_INET6;
	r->rtm_dst_len = 128;
	r->rtm_table = RT_TABLE_MAIN;
	r->rtm_protocol = RTPROT_STATIC;
	r->rtm_scope = RT_SCOPE_UNIVERSE;
	r->rtm_type = RTN_UNICAST;
	rtnl_attr(h, RTA_DST, dst, 16);
	rtnl_attr(h, RTA_OIF, &oif, 4);
	return NLMSG_ALIGN(h->nlmsg_len);
}

#endif
