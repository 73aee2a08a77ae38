/* SPDX-License-Identifier: GPL-2.0 */
/* kws list: what its two files share. list.c chooses, list_show.c prints. */
#ifndef KWS_LIST_H
#define KWS_LIST_H

#include "diag.h"
#include "owners.h"

/**
 * struct view - what to print
 * @now, @before: what was found at this look and the one before
 * @shown: the entries of @now that pass the filters, @n of them
 * @owners: or NULL: they are not asked for
 * @seconds: between the looks; 0: this is the first, there are no rates
 * @rates: rates are asked for
 */
struct view {
	const struct diag_list *now, *before;
	const struct entry **shown;
	size_t n;
	const struct owners *owners;
	double seconds;
	bool rates;
};

#define N_STATES	6

extern const char *const state_names[N_STATES];	/* by WEBSOCKET_STATE_* */

void show_table(const struct view *v);
void show_json(const struct view *v);

#endif
