// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Runs a fuzzer's function once for each file named, with a compiler that has no libFuzzer. */
#include <stdio.h>
#include <stdlib.h>

#include "types.h"

int LLVMFuzzerTestOneInput(const u8 *p, size_t n);

int main(int argc, char **argv)
{
	int i;

	printf("1..1\n");
	for (i = 1; i < argc; i++) {
		static u8 buffer[1 << 16];
		FILE *f = fopen(argv[i], "rb");
		size_t n;
		u8 *p;

		if (!f) {
			perror(argv[i]);
			return 1;
		}
		n = fread(buffer, 1, sizeof(buffer), f);
		fclose(f);
		/* exactly so many bytes: the sanitizer sees a look behind them */
		p = malloc(n ? n : 1);
		if (!p)
			abort();
		__builtin_memcpy(p, buffer, n);
		LLVMFuzzerTestOneInput(p, n);
		free(p);
	}
	printf("ok 1 %s: %d inputs\n", argv[0], argc - 1);
	return argc < 2;
}
