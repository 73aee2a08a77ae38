/* SPDX-License-Identifier: GPL-2.0 */
/* For tests of what must not disturb a message socket. */
#ifndef INTACT_H
#define INTACT_H

#include "shapes.h"

/* Messages pass in both directions, and nothing was lost or added. */
static inline void intact_(struct link *l)
{
	put(&l->out, .opcode = OP_TEXT, .text = "still here");
	peer_write(l);
	expect_message_(l, OP_TEXT, "still here", 10);
	peer_expect_silence_(l);
	equal(3, ws_send(l->ws, OP_TEXT, "yes", 3, 0));
	wire_expect_(&l->wire, OP_TEXT, true, "yes", 3);
}

#define intact(l) HERE(intact_(l))

#endif
