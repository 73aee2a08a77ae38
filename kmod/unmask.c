// SPDX-License-Identifier: GPL-2.0
/*
 * Unmasking payload into the caller's buffer, and checking text on the way.
 *
 * DESIGN NOTES
 *
 * What is stored is what was checked: the source may change between two looks at it. So ASCII is judged by the words that were
 * stored; other text goes by way of a block on the stack, over what was stored already.
 */
#include "compat/compat.h"
#include "core/utf8.h"
#include "unmask.h"

/* Bytes of text that are stored before it is known whether they are ASCII. */
#define TEXT_RUN	1024

/* By way of a block on the stack. Returns bytes copied; *@utf8 is the state after them. */
static noinline_for_stack size_t unmask_block(struct iov_iter *iter, const u8 *from, size_t n, u32 key, u8 *utf8)
{
	size_t done = 0;

	while (done < n) {
		u8 block[256], state = WS_UTF8_START;
		size_t len = min(n - done, sizeof(block)), copied;

		ws_mask_copy(block, from + done, len, ws_mask_advance(key, done));
		if (utf8) {
			state = ws_utf8_check(*utf8, block, len);
			if (state == WS_UTF8_BAD) {
				*utf8 = state;
				return done;
			}
		}
		copied = copy_to_iter(block, len, iter);
		if (utf8)
			*utf8 = copied == len ? state : ws_utf8_check(*utf8, block, copied);
		done += copied;
		if (copied < len)
			break;
	}
	return done;
}

/* Straight to user memory, as far as one segment of it goes; text only as long as it is ASCII. 0: it cannot be done so. */
static size_t unmask_straight(struct iov_iter *iter, const u8 *from, size_t n, u32 key, bool text, bool wide)
{
	size_t len = 0, done = 0;
	u64 bits = 0;
	u32 high = 0;
	void __user *to = user_backed_iter(iter) ? ws_iter_user(iter, &len) : NULL;

	len = min3(len, n, text ? (size_t)TEXT_RUN : n);
	if (!len || !user_write_access_begin(to, len))
		return 0;
	/* whole blocks, which do not change the key; then what is left */
	if (wide)
		done = ws_wide_put(to, from, len, key, &high);
	if (text)
		done += ws_put_unmasked(to + done, from + done, len - done, key, &bits);
	else
		done += ws_put_unmasked(to + done, from + done, len - done, key, NULL);
	user_write_access_end();
	if (text && (high || bits & WS_NOT_ASCII))
		return 0;
	iov_iter_advance(iter, done);
	return done;
}

/**
 * ws_unmask() - copy received payload to the caller
 * @iter: the caller's buffer, with room for @n bytes
 * @from: received bytes
 * @n: how many
 * @key: masking key as it applies to the first byte
 * @utf8: NULL, or the state of the text's check before, and afterwards behind what was copied; WS_UTF8_BAD: the next bytes are
 *	not UTF-8
 * @wide: may be on; what has to sleep turns it off
 *
 * Return: bytes copied: @n, or fewer at a fault or at bad text.
 */
size_t ws_unmask(struct iov_iter *iter, const u8 *from, size_t n, u32 key, u8 *utf8, struct ws_wide *wide)
{
	size_t done = 0;

	if (!key && !utf8) {
		ws_wide_end(wide);
		return copy_to_iter(from, n, iter);
	}
	while (done < n) {
		size_t len, copied = 0;
		u32 k = ws_mask_advance(key, done);

		if (!utf8 || *utf8 == WS_UTF8_START)
			copied = unmask_straight(iter, from + done, n - done, k, utf8, wide->on);
		wide->done += copied;
		/* not ASCII, not user memory, an empty segment, or a fault, which this tells for sure */
		if (!copied) {
			ws_wide_end(wide);
			len = min_t(size_t, n - done, TEXT_RUN);
			copied = unmask_block(iter, from + done, len, k, utf8);
			if (copied < len)
				return done + copied;
		}
		done += copied;
	}
	return done;
}
