// SPDX-License-Identifier: GPL-2.0
/* The CPU's wide registers: wide.h has the idea. */
#include "wide.h"

#if defined(CONFIG_X86_64) && !defined(CONFIG_KMSAN)
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>

static bool usable __ro_after_init;

void __init ws_wide_init(void)
{
	usable = boot_cpu_has(X86_FEATURE_AVX2) && cpu_has_xfeatures(XFEATURE_MASK_SSE | XFEATURE_MASK_YMM, NULL);
}

/**
 * ws_wide_begin() - the wide registers are ours, if the CPU has them
 * @wide: zeroed before the first time
 * Context: process; until ws_wide_end() nothing may sleep
 */
void ws_wide_begin(struct ws_wide *wide)
{
	if (!usable || !irq_fpu_usable())
		return;
	kernel_fpu_begin();
	pagefault_disable();
	wide->on = true;
	wide->done = 0;
}

/**
 * ws_wide_end() - give them back, if they are ours
 * @wide: from ws_wide_begin()
 */
void ws_wide_end(struct ws_wide *wide)
{
	if (!wide->on)
		return;
	wide->on = false;
	pagefault_enable();
	kernel_fpu_end();
}
#endif
