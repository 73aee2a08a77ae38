/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The harness, and the fixture of the receive tests: how segments are cut, address family, and blocking or poll() first.
 * The client role, where nothing but the mask differs, runs under every segmentation once.
 */
#ifndef SHAPES_H
#define SHAPES_H

#include "kselftest_harness.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <poll.h>
#include <netinet/tcp.h>

#include "check.h"
#include "peer.h"

/* Seconds for one test: an emulated CPU is slow, and a machine may be busy. */
#define PATIENCE	60

#define CASE(fixture, name)	TEST_F_TIMEOUT(fixture, name, PATIENCE)

#define SHAPE(fixture, name, ...) FIXTURE_VARIANT_ADD(fixture, name) { .shape = (struct shape){ __VA_ARGS__ } }

#define SHAPES_OF(fixture, cut, word)						\
	SHAPE(fixture, word##_v4_blocking, SEGMENT_##cut, IPV4, false, false);	\
	SHAPE(fixture, word##_v4_poll, SEGMENT_##cut, IPV4, true, false);	\
	SHAPE(fixture, word##_v6_blocking, SEGMENT_##cut, IPV6, false, false);	\
	SHAPE(fixture, word##_v6_poll, SEGMENT_##cut, IPV6, true, false);	\
	SHAPE(fixture, word##_v4_client, SEGMENT_##cut, IPV4, true, true)

#define FIXTURE_WITH_LINK(fixture)						\
	FIXTURE(fixture) { struct link link; };					\
	FIXTURE_VARIANT(fixture) { struct shape shape; };			\
	FIXTURE_SETUP(fixture)							\
	{									\
		link_start_default(&self->link, &variant->shape);		\
	}									\
	FIXTURE_TEARDOWN(fixture)						\
	{									\
		link_close(&self->link);					\
	}

#ifdef OVER_TLS
#define FIXTURE_CUTS(fixture)									\
	FIXTURE_WITH_LINK(fixture)								\
	SHAPE(fixture, tls12_seven, SEGMENT_SEVEN, IPV4, true, false, .tls = TLS_1_2_VERSION);	\
	SHAPE(fixture, tls13_bytewise_client, SEGMENT_BYTE, IPV6, false, true, .tls = TLS_1_3_VERSION);	\
	SHAPE(fixture, tls13_together, SEGMENT_ALL, IPV4, false, false, .tls = TLS_1_3_VERSION)

#define FIXTURE_ALL_SHAPES(fixture) FIXTURE_CUTS(fixture)

#define FIXTURE_ROLES(fixture)									\
	FIXTURE_WITH_LINK(fixture)								\
	SHAPE(fixture, tls12_server, SEGMENT_FRAME, IPV4, false, false, .tls = TLS_1_2_VERSION);	\
	SHAPE(fixture, tls13_client, SEGMENT_FRAME, IPV6, false, true, .tls = TLS_1_3_VERSION)
#else
/* Every segmentation × IPv4, IPv6 × blocking, poll(); and the client role. */
#define FIXTURE_ALL_SHAPES(fixture)						\
	FIXTURE_WITH_LINK(fixture)						\
	SHAPES_OF(fixture, FRAME, whole);					\
	SHAPES_OF(fixture, BYTE, bytewise);					\
	SHAPES_OF(fixture, SEVEN, seven);					\
	SHAPES_OF(fixture, HEADER, header);					\
	SHAPES_OF(fixture, ALL, together)

/* Every segmentation and both roles; family and blocking take turns. */
#define FIXTURE_CUTS(fixture)							\
	FIXTURE_WITH_LINK(fixture)						\
	SHAPE(fixture, whole, SEGMENT_FRAME, IPV4, false, false);		\
	SHAPE(fixture, bytewise, SEGMENT_BYTE, IPV4, true, false);		\
	SHAPE(fixture, seven, SEGMENT_SEVEN, IPV6, false, false);		\
	SHAPE(fixture, header, SEGMENT_HEADER, IPV6, true, false);		\
	SHAPE(fixture, together, SEGMENT_ALL, IPV4, false, false);		\
	SHAPE(fixture, whole_client, SEGMENT_FRAME, IPV6, true, true);		\
	SHAPE(fixture, bytewise_client, SEGMENT_BYTE, IPV6, false, true);	\
	SHAPE(fixture, seven_client, SEGMENT_SEVEN, IPV4, true, true);		\
	SHAPE(fixture, header_client, SEGMENT_HEADER, IPV4, false, true);	\
	SHAPE(fixture, together_client, SEGMENT_ALL, IPV6, true, true)

/* Both roles, where segmentation cannot matter: the module sends. */
#define FIXTURE_ROLES(fixture)							\
	FIXTURE_WITH_LINK(fixture)						\
	SHAPE(fixture, server_v4, SEGMENT_FRAME, IPV4, false, false);		\
	SHAPE(fixture, server_v6, SEGMENT_FRAME, IPV6, false, false);		\
	SHAPE(fixture, client_v4, SEGMENT_FRAME, IPV4, false, true);		\
	SHAPE(fixture, client_v6, SEGMENT_FRAME, IPV6, false, true)
#endif

/* Leaves only what has @name; these lists run by ->next. */
#define KEEP_ONLY(list, wanted) do {						\
	__typeof__(list) *_at = &(list);					\
	while (*_at)								\
		if (wanted && fnmatch(wanted, (*_at)->name, 0))			\
			*_at = (*_at)->next;					\
		else								\
			_at = &(*_at)->next;					\
} while (0)

/* Leaves out what has one of these names, which stand with spaces between them. */
#define LEAVE_OUT(list, names) do {						\
	__typeof__(list) *_at = &(list);					\
	while (*_at)								\
		if (has_word(names, (*_at)->name))				\
			*_at = (*_at)->next;					\
		else								\
			_at = &(*_at)->next;					\
} while (0)

static inline bool has_word(const char *words, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = words; p && (p = strstr(p, name)); p += len)
		if ((p == words || p[-1] == ' ') && (!p[len] || p[len] == ' '))
			return true;
	return false;
}

/* PROGRAM [TEST [VARIANT]]: runs those whose names match, without arguments all; none of those in $WITHOUT. */
#define SELFTEST_MAIN								\
	static void __attribute__((constructor)) __constructor_order_last(void)	\
	{									\
		if (!__constructor_order)					\
			__constructor_order = _CONSTRUCTOR_ORDER_BACKWARD;	\
	}									\
	int main(int argc, char **argv)						\
	{									\
		struct __fixture_metadata *f;					\
										\
		for (f = __fixture_list; f; f = f->next) {			\
			KEEP_ONLY(f->tests, argv[1]);				\
			LEAVE_OUT(f->tests, getenv("WITHOUT"));			\
			if (argc > 2)						\
				KEEP_ONLY(f->variant, argv[2]);			\
		}								\
		return test_harness_run(argc, argv);				\
	}

#define LINK	(&self->link)
#define OUT	(&self->link.out)
#define WIRE	(&self->link.wire)

#endif
