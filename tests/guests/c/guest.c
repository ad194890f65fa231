/* A service in C, written against docs/interfaces.md and the generated header alone: it looks at its boot page, makes an endpoint's
   friends out of free memory, signals and polls, maps a page, and tells what it found. */
#include "tetrarch.h"

__asm__(".section .head, \"ax\"\n"
	".global _start\n"
	"_start: adrp x1, __stack_top\n"
	"add sp, x1, :lo12:__stack_top\n"
	"mov x29, xzr\n"
	"mov x30, xzr\n"
	"b service\n"
	".text\n");

/* The compiler expects it of every environment. */
void *memset(void *at, int byte, size_t size)
{
	volatile unsigned char *bytes = at;
	while (size-- > 0)
		bytes[size] = (unsigned char)byte;
	return at;
}

static int64_t call(uint64_t number, struct tetrarch_registers *r)
{
	TETRARCH_CALL("svc", number, r);
	return (int64_t)r->x[0];
}

static void say(const char *text)
{
	struct tetrarch_registers r = { { 0 }, { 0 } };
	while (text[r.x[1]])
		r.x[1]++;
	r.x[0] = (uint64_t)(uintptr_t)text;
	call(TETRARCH_CALL_TEXT, &r);
}

static void check(int64_t got, int64_t want, const char *what)
{
	if (got != want) {
		say("WRONG:");
		say(what);
	}
}

static int64_t invoke(uint64_t address, uint64_t label, uint64_t a, uint64_t b, uint64_t c, struct tetrarch_registers *r)
{
	*r = (struct tetrarch_registers){ { address, a, b, c }, { 0 } };
	return call(TETRARCH_INVOKE + label, r);
}

static int64_t retype(uint64_t kind, uint64_t parameter, uint64_t slot)
{
	struct tetrarch_registers r = { { TETRARCH_ROOT_UNTYPED, kind, parameter, TETRARCH_ROOT_CNODE, 0, 0, slot, 1 }, { 0 } };
	return call(TETRARCH_INVOKE + TETRARCH_LABEL_RETYPE, &r);
}

__attribute__((noreturn, used)) void service(const struct tetrarch_boot *boot)
{
	enum { BELL = TETRARCH_ROOT_FREE, BADGED, TABLE, FRAME };
	const uint64_t place = 0x60000000;
	struct tetrarch_registers r = { { 0 }, { 0 } };
	check(boot->magic == TETRARCH_BOOTINFO_MAGIC, 1, "magic");
	check(boot->domain, 0, "domain");
	check(boot->name[0], 'c', "name");
	check(boot->untyped[0].size != 0, 1, "free memory");
	check(call(TETRARCH_CALL_NULL, &r), 0, "null");
	check(call(9999, &r), TETRARCH_ERROR_UNKNOWN_CALL, "an unknown call");
	check(retype(TETRARCH_KIND_NOTIFICATION, 0, BELL), TETRARCH_DONE, "retype");
	/* Mint: index, depth, source CNode, index, depth, rights, badge. */
	r = (struct tetrarch_registers){ { TETRARCH_ROOT_CNODE, BADGED, 64, TETRARCH_ROOT_CNODE, BELL, 64, 15, 0x50 }, { 0 } };
	check(call(TETRARCH_INVOKE + TETRARCH_LABEL_MINT, &r), TETRARCH_DONE, "mint");
	check(invoke(BADGED, TETRARCH_LABEL_SIGNAL, 0, 0, 0, &r), TETRARCH_DONE, "signal");
	check(invoke(BELL, TETRARCH_LABEL_WAIT, 0, 0, 0, &r), TETRARCH_DONE, "wait");
	check((int64_t)r.y[4], 0x50, "the badge");
	check(invoke(BELL, TETRARCH_LABEL_MAP, 0, 0, 0, &r), TETRARCH_ERROR_BASE - 2, "a notification is not mapped");
	check(retype(TETRARCH_KIND_PAGE_TABLE, 3, TABLE), TETRARCH_DONE, "table");
	check(invoke(TABLE, TETRARCH_LABEL_MAP, TETRARCH_ROOT_SPACES, place, 0, &r), TETRARCH_DONE, "map a table");
	check(retype(TETRARCH_KIND_FRAME, 0, FRAME), TETRARCH_DONE, "frame");
	check(invoke(FRAME, TETRARCH_LABEL_MAP, TETRARCH_ROOT_SPACES, place, TETRARCH_MAP_READ | TETRARCH_MAP_WRITE, &r), TETRARCH_DONE, "map");
	volatile uint64_t *word = (volatile uint64_t *)(uintptr_t)place;
	check((int64_t)*word, 0, "a fresh page");
	*word = 7;
	check((int64_t)*word, 7, "its own page");
	say("a service in C is content");
	r = (struct tetrarch_registers){ { 0 }, { 0 } };
	call(TETRARCH_CALL_POWER_OFF, &r);
	for (;;) {
		r.x[0] = UINT64_MAX;
		call(TETRARCH_CALL_WAIT, &r);
	}
}
