// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A QEMU plugin that says where instructions go: it counts how often each translated block runs between the marks
 * that the load client executes around a measured part (meter.c).
 *
 *	qemu-system-x86_64 -plugin libprofile.so,out=FILE ...
 *
 * FILE gets, for every measured part, a line "window" and then "address instructions executions" of each block.
 *
 * DESIGN NOTES
 *
 * QEMU 7.2's packages have plugins switched on, but no header; these are the functions of its interface, version
 * 1, that are needed. One CPU only. A block that a fault leaves in the middle counts whole.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, enum qemu_plugin_op op, void *p, uint64_t n);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*cb)(unsigned int, void *),
					    enum qemu_plugin_cb_flags flags, void *data);
int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;

struct block {
	uint64_t address, count, total;
	unsigned int insns;
};

#define CHUNK	4096

/* Blocks never move: QEMU holds pointers to their counts. */
static struct block *chunks[4096];
static size_t nblocks;
static FILE *out;

static struct block *block(size_t i)
{
	return &chunks[i / CHUNK][i % CHUNK];
}

static void resume(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	for (size_t i = 0; i < nblocks; i++)
		block(i)->count = 0;
}

static void pause(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	for (size_t i = 0; i < nblocks; i++)
		block(i)->total += block(i)->count;
}

static void finish(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	fprintf(out, "window\n");
	for (size_t i = 0; i < nblocks; i++) {
		struct block *b = block(i);

		if (b->total)
			fprintf(out, "%llx %u %llu\n", (unsigned long long)b->address, b->insns,
				(unsigned long long)b->total);
		b->total = 0;
	}
	fflush(out);
}

static void watch_marks(struct qemu_plugin_tb *tb)
{
	static const uint8_t mark[] = { 0x0f, 0x1f, 0x80, 'W', 'S', 'B' };
	static void (*const call[])(unsigned int, void *) = { finish, resume, pause, finish };

	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const uint8_t *p = qemu_plugin_insn_data(insn);

		if (qemu_plugin_insn_size(insn) == 7 && !memcmp(p, mark, sizeof(mark)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, call[p[6] & 3], QEMU_PLUGIN_CB_NO_REGS, NULL);
	}
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	struct block *b;

	(void)id;
	watch_marks(tb);
	if (nblocks == CHUNK * (sizeof(chunks) / sizeof(chunks[0])))
		return;
	if (nblocks % CHUNK == 0)
		chunks[nblocks / CHUNK] = calloc(CHUNK, sizeof(struct block));
	if (!chunks[nblocks / CHUNK])
		return;
	b = block(nblocks++);
	b->address = qemu_plugin_tb_vaddr(tb);
	b->insns = qemu_plugin_tb_n_insns(tb);
	qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &b->count, 1);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4))
		return 1;
	out = fopen(argv[0] + 4, "w");
	if (!out)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
