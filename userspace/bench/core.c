// SPDX-License-Identifier: GPL-2.0
/*
 * kmod/core on this machine itself: unmasking into a copy, the check of UTF-8, header decode. One JSON object a line.
 *
 * DESIGN NOTES
 *
 * The sources of kmod/core are compiled without SIMD registers, as for the kernel; "AVX2" is what the module does with payload of 4 KiB
 * and more where the CPU has it, without saving and restoring the process's registers. What they are compared with may use them:
 * libc's memcpy(), a copy followed by an XOR pass with AVX2, simdjson's validator. Rounds alternate, and the best one counts: others
 * disturb this machine, nothing makes it faster.
 *
 * "memory": the source is walked through and far larger than the caches; the destination is one buffer, as a server's.
 */
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/frame.h"
#include "core/mask.h"
#include "core/utf8.h"
#define WS_WIDE_FAULT(at, next)
#include "core/wide.h"

#define ROUNDS	15
#define AREA	(256UL << 20)
#define MESSAGE	(1UL << 20)	/* the largest */
#define KEY	0x9a3f51c7

bool simd_utf8(const u8 *p, size_t n);	/* simd_utf8.cc */

static u8 *src, *dst;
static volatile u8 sink;

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void run_core(size_t at, size_t n)
{
	ws_mask_copy(dst, src + at, n, KEY);
}

static void run_wide(size_t at, size_t n)
{
	u32 high;
	size_t done = ws_wide_put(dst, src + at, n, KEY, &high);

	ws_mask_copy(dst + done, src + at + done, n - done, KEY);
}

static void run_memcpy(size_t at, size_t n)
{
	memcpy(dst, src + at, n);
	asm volatile("" : : : "memory");
}

__attribute__((target("avx2"))) static void run_two_passes(size_t at, size_t n)
{
	const __m256i key = _mm256_set1_epi32(KEY);

	run_memcpy(at, n);
	for (u8 *p = dst, *end = p + n; p + 64 <= end; p += 64) {
		__m256i *v = (__m256i *)p;

		_mm256_storeu_si256(v, _mm256_xor_si256(_mm256_loadu_si256(v), key));
		_mm256_storeu_si256(v + 1, _mm256_xor_si256(_mm256_loadu_si256(v + 1), key));
	}
}

static void run_utf8(size_t at, size_t n)
{
	sink = ws_utf8_check(WS_UTF8_START, src + at, n);
}

static void run_simd_utf8(size_t at, size_t n)
{
	sink = simd_utf8(src + at, n);
}

/* Seconds for a pass of messages of @n bytes: over all of the area, or again and again over one. */
static double pass(void (*run)(size_t, size_t), size_t n, size_t span, unsigned int times)
{
	double start = seconds();

	while (times--)
		for (size_t at = 0; at + n <= span; at += n)
			run(at, n);
	return seconds() - start;
}

/* Prints GB/s of each function; NULL: none. */
static void compare(const char *what, const char *where, size_t n, size_t span, void (*const run[3])(size_t, size_t))
{
	double best[3] = { 1e9, 1e9, 1e9 };
	unsigned int times = 1 + (16UL << 20) / span;

	for (unsigned int i = 0; i < ROUNDS * 3; i++) {
		double t;

		if (!run[i % 3])
			continue;
		t = pass(run[i % 3], n, span, times);
		if (t < best[i % 3])
			best[i % 3] = t;
	}
	printf("{\"what\": \"%s\", \"where\": \"%s\", \"unit\": \"GB/s\", \"values\": [", what, where);
	for (unsigned int i = 0; i < 3; i++)
		run[i] ? printf("%s%.2f", i ? ", " : "", (double)(span / n) * n * times / best[i] * 1e-9) :
			 printf("%snull", i ? ", " : "");
	printf("]}\n");
}

static void masks(void)
{
	static void (*const run[3])(size_t, size_t) = { run_core, run_memcpy, run_two_passes };
	static void (*const wide[3])(size_t, size_t) = { run_wide, run_memcpy, run_two_passes };

	compare("unmask and copy", "1 KiB, cache", 1 << 10, 1 << 10, run);
	compare("unmask and copy", "16 KiB, cache", 16 << 10, 16 << 10, run);
	compare("unmask and copy", "64 KiB, cache", 64 << 10, 64 << 10, run);
	compare("unmask and copy", "1 MiB, cache", 1 << 20, 1 << 20, run);
	compare("unmask and copy", "64 KiB, from memory", 64 << 10, AREA, run);
	compare("unmask and copy", "1 MiB, from memory", 1 << 20, AREA, run);
	if (!__builtin_cpu_supports("avx2"))
		return;
	compare("the same, AVX2", "16 KiB, cache", 16 << 10, 16 << 10, wide);
	compare("the same, AVX2", "64 KiB, cache", 64 << 10, 64 << 10, wide);
	compare("the same, AVX2", "1 MiB, cache", 1 << 20, 1 << 20, wide);
	compare("the same, AVX2", "64 KiB, from memory", 64 << 10, AREA, wide);
	compare("the same, AVX2", "1 MiB, from memory", 1 << 20, AREA, wide);
}

/* Fills an area with whole characters. */
static void fill(const char *const *words, unsigned int count, size_t n)
{
	size_t have = 0;

	while (have < n) {
		const char *word = words[random() % count];
		size_t len = strlen(word);

		if (len > n - have) {
			word = " ";
			len = 1;
		}
		memcpy(src + have, word, len);
		have += len;
	}
}

static void texts(void)
{
	static void (*const run[3])(size_t, size_t) = { run_utf8, NULL, run_simd_utf8 };
	static const char *const ascii[] = { "frame ", "message ", "{\"id\": 17}, " };
	static const char *const german[] = { "gr\u00f6\u00dfer ", "f\u00fcr ", "kein ", "Umlaut " };
	static const char *const chinese[] = { "\u7db2", "\u8def", "\u5354", "\u5b9a", "\u3002" };

	fill(ascii, 3, 16 << 10);
	compare("UTF-8, ASCII", "16 KiB, cache", 16 << 10, 16 << 10, run);
	fill(german, 4, 16 << 10);
	compare("UTF-8, German", "16 KiB, cache", 16 << 10, 16 << 10, run);
	fill(chinese, 5, 16 << 10);
	compare("UTF-8, Chinese", "16 KiB, cache", 16 << 10, 16 << 10, run);
	for (size_t i = 16 << 10; i < AREA; i += 16 << 10)
		memcpy(src + i, src, 16 << 10);
	compare("UTF-8, Chinese", "64 KiB, from memory", 64 << 10, AREA, run);
}

/* Headers of client frames with all three forms of the length. */
static void headers(void)
{
	u8 heads[256][WS_HEADER_MAX];
	double best = 1e9;

	for (unsigned int i = 0; i < 256; i++)
		ws_frame_encode(heads[i], WS_OP_BINARY, true, i % 4 == 3 ? 70000 : i % 4 == 2 ? 1000 : i % 100, true,
				random());
	for (unsigned int r = 0; r < ROUNDS; r++) {
		double start = seconds();

		for (unsigned int i = 0; i < 256 * 4096; i++) {
			struct ws_header h;

			sink = ws_frame_decode(&h, heads[i % 256], WS_HEADER_MAX, true, false);
			if (h.size < 6)
				abort();
		}
		if (seconds() - start < best)
			best = seconds() - start;
	}
	printf("{\"what\": \"header decode\", \"where\": \"cache\", \"unit\": \"million/s\", "
	       "\"values\": [%.1f, null, null]}\n", 256 * 4096 / best * 1e-6);
}

int main(void)
{
	void *areas = mmap(NULL, AREA + MESSAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (areas == MAP_FAILED)
		return 1;
	src = areas;
	dst = src + AREA;
	memset(src, 0x55, AREA);
	masks();
	texts();
	headers();
	return 0;
}
