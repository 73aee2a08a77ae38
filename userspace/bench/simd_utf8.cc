// SPDX-License-Identifier: GPL-2.0
/* simdjson's check of UTF-8, which is simdutf's. */
#include <simdjson.h>

extern "C" bool simd_utf8(const unsigned char *p, size_t n)
{
	return simdjson::validate_utf8(reinterpret_cast<const char *>(p), n);
}
