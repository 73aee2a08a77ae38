// SPDX-License-Identifier: GPL-2.0
/*
 * The counter behind fault.h. Parameters of the module: writing n to `fault' makes the n-th place from now on fail; reading says
 * how many are left, 0 when it has failed, and where that was. `faults' lists all places: reached and failed how often.
 * `stall': a CPU that is taken away for so many milliseconds where that did harm once.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static atomic_t left;
static struct ws_fault_site *last;

static struct ws_fault_site *first __used __section("ws_faults");
extern struct ws_fault_site *ws_fault_end;

bool ws_fault(struct ws_fault_site *site)
{
	WRITE_ONCE(site->reached, site->reached + 1);
	if (likely(!atomic_read(&left)) || atomic_dec_if_positive(&left))
		return false;
	WRITE_ONCE(site->failed, site->failed + 1);
	WRITE_ONCE(last, site);
	return true;
}

static int show_site(char *page, int room, const struct ws_fault_site *site)
{
	return scnprintf(page, room, "%s:%u %s", kbasename(site->file), site->line, site->what);
}

static int arm(const char *text, const struct kernel_param *kp)
{
	unsigned int n;
	int err = kstrtouint(text, 0, &n);

	if (err)
		return err;
	last = NULL;
	atomic_set(&left, n);
	return 0;
}

static int show(char *page, const struct kernel_param *kp)
{
	int len = scnprintf(page, PAGE_SIZE, "%d ", atomic_read(&left));

	if (last)
		len += show_site(page + len, PAGE_SIZE - len, last);
	return len + scnprintf(page + len, PAGE_SIZE - len, "\n");
}

static int show_all(char *page, const struct kernel_param *kp)
{
	struct ws_fault_site **at = &first;
	int len = 0;

	OPTIMIZER_HIDE_VAR(at);
	while (++at != &ws_fault_end) {
		len += show_site(page + len, PAGE_SIZE - len, *at);
		len += scnprintf(page + len, PAGE_SIZE - len, " %u %u\n", (*at)->reached, (*at)->failed);
	}
	return len;
}

static unsigned int stall;	/* milliseconds; fault.h says where */

void ws_stall(void)
{
	if (READ_ONCE(stall) && !in_softirq())
		mdelay(stall);
}

static const struct kernel_param_ops fault_ops = { .set = arm, .get = show };
static const struct kernel_param_ops faults_ops = { .get = show_all };
module_param_cb(fault, &fault_ops, NULL, 0600);
module_param(stall, uint, 0600);
module_param_cb(faults, &faults_ops, NULL, 0400);
