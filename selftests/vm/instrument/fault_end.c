// SPDX-License-Identifier: GPL-2.0
/* The last object: behind all places of fault.h. */
extern struct ws_fault_site *ws_fault_end;
struct ws_fault_site *ws_fault_end __used __section("ws_faults");
