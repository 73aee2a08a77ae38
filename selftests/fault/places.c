// SPDX-License-Identifier: GPL-2.0
/* Runs last: the programs before it have made every place of the module fail. */
#include <stdio.h>

int main(void)
{
	char line[256], file[64], what[128];
	FILE *f = fopen("/sys/module/websocket/parameters/faults", "r");
	unsigned int reached, failed, bad = 0, all = 0;

	printf("TAP version 13\n1..1\n");
	if (!f) {
		printf("not ok 1 the module cannot fail\n");
		return 1;
	}
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %127[^0-9] %u %u", file, what, &reached, &failed) != 4)
			continue;
		all++;
		if (!failed) {
			printf("# reached %u times, never failed: %s %s\n", reached, file, what);
			bad++;
		}
	}
	printf("# %u places\n%sok 1 every_place_failed\n", all, bad ? "not " : "");
	return bad;
}
